package shutdown

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"
)

// The names of logind and systemd on the bus, and where a drop-in for logind's configuration is put.
const (
	login        = "org.freedesktop.login1"
	loginObject  = dbus.ObjectPath("/org/freedesktop/login1")
	loginManager = login + ".Manager"

	systemd        = "org.freedesktop.systemd1"
	systemdObject  = dbus.ObjectPath("/org/freedesktop/systemd1")
	systemdManager = systemd + ".Manager"

	dropInDir  = "/etc/systemd/logind.conf.d"
	dropInFile = "99-kubelet.conf"
)

// logind is systemd's logind on the system's bus.
type logind struct {
	conn *dbus.Conn
	dir  string // dropInDir, but for tests
}

// Logind connects to logind. Without a bus there is an error at once.
func Logind() (Bus, error) {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return nil, err
	}
	return &logind{conn: conn, dir: dropInDir}, nil
}

// Close implements Bus.
func (l *logind) Close() error { return l.conn.Close() }

// Delay implements Bus.
func (l *logind) Delay() (time.Duration, error) {
	v, err := l.conn.Object(login, loginObject).GetProperty(loginManager + ".InhibitDelayMaxUSec")
	if err != nil {
		return 0, fmt.Errorf("failed reading InhibitDelayMaxUSec property from logind: %w", err)
	}
	n, ok := v.Value().(uint64)
	if !ok {
		return 0, fmt.Errorf("InhibitDelayMaxUSec from logind is not a uint64 as expected")
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Allow implements Bus.
func (l *logind) Allow(d time.Duration) error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("# Kubelet logind override\n[Login]\nInhibitDelayMaxSec=%.0f\n", d.Seconds())
	if err := os.WriteFile(filepath.Join(l.dir, dropInFile), []byte(text), 0o644); err != nil {
		return err
	}
	const hangUp = int32(1) // has logind read its configuration
	if err := l.conn.Object(systemd, systemdObject).Call(systemdManager+".KillUnit", 0, "systemd-logind.service", "all", hangUp).Err; err != nil {
		return fmt.Errorf("unable to reload logind conf: %w", err)
	}
	return nil
}

// Inhibit implements Bus.
func (l *logind) Inhibit() (io.Closer, error) {
	var fd dbus.UnixFD
	call := l.conn.Object(login, loginObject).Call(loginManager+".Inhibit", 0, "shutdown", "kubelet", "Kubelet needs time to handle node shutdown", "delay")
	if err := call.Store(&fd); err != nil {
		return nil, fmt.Errorf("failed creating systemd inhibitor: %w", err)
	}
	return &once{file: os.NewFile(uintptr(fd), "inhibitor")}, nil
}

// once is a lock that may be closed again: the number of a file that is closed may be another's.
type once struct {
	sync.Once
	file *os.File
}

func (o *once) Close() (err error) {
	o.Do(func() { err = o.file.Close() })
	return err
}

// Shutdowns implements Bus.
func (l *logind) Shutdowns() (<-chan bool, error) {
	err := l.conn.AddMatchSignal(dbus.WithMatchInterface(loginManager), dbus.WithMatchMember("PrepareForShutdown"), dbus.WithMatchObjectPath(loginObject))
	if err != nil {
		return nil, err
	}
	signals, out := make(chan *dbus.Signal, 4), make(chan bool, 1)
	l.conn.Signal(signals)
	go func() { // ends with the connection
		defer close(out)
		for s := range signals {
			if s == nil || s.Name != loginManager+".PrepareForShutdown" || len(s.Body) == 0 {
				continue
			}
			if begins, ok := s.Body[0].(bool); ok {
				select {
				case out <- begins:
				case <-l.conn.Context().Done():
					return
				}
			}
		}
	}()
	return out, nil
}
