package shutdown

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

// login1 answers as logind does.
type login1 struct{ asked chan []string }

func (l *login1) Inhibit(what, who, why, mode string) (dbus.UnixFD, *dbus.Error) {
	r, w, err := os.Pipe()
	if err != nil {
		return 0, dbus.MakeFailedError(err)
	}
	w.Close()
	l.asked <- []string{what, who, why, mode}
	return dbus.UnixFD(r.Fd()), nil
}

func (l *login1) KillUnit(unit, who string, signal int32) *dbus.Error {
	l.asked <- []string{unit, who}
	return nil
}

// bus starts a bus of our own, which stands for the system's, and returns its address.
func bus(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed")
	}
	cmd := exec.Command(program, "--session", "--nofork", "--print-address", "--address=unix:path="+filepath.Join(t.TempDir(), "bus"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// What is said to logind is said over a real bus, to one that answers as logind does.
func TestLogind(t *testing.T) {
	address := bus(t)
	server, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	l := &login1{asked: make(chan []string, 4)}
	for name, object := range map[string]dbus.ObjectPath{loginManager: loginObject, systemdManager: systemdObject} {
		if err := server.Export(l, object, name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := prop.Export(server, loginObject, prop.Map{loginManager: {"InhibitDelayMaxUSec": {Value: uint64(5e6)}}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{login, systemd} {
		if r, err := server.RequestName(name, 0); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
			t.Fatal(name, r, err)
		}
	}

	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
	b, err := Logind()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.(*logind).dir = filepath.Join(t.TempDir(), "conf.d")
	if d, err := b.Delay(); d != 5*time.Second || err != nil {
		t.Errorf("it waits for %v (%v)", d, err)
	}
	if err := b.Allow(90 * time.Second); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join(b.(*logind).dir, dropInFile))
	if string(text) != "# Kubelet logind override\n[Login]\nInhibitDelayMaxSec=90\n" {
		t.Errorf("%q (%v)", text, err)
	}
	if got := strings.Join(<-l.asked, "|"); got != "systemd-logind.service|all" {
		t.Errorf("reloaded %s", got)
	}
	lock, err := b.Inhibit()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(<-l.asked, "|"); got != "shutdown|kubelet|Kubelet needs time to handle node shutdown|delay" {
		t.Errorf("inhibited %s", got)
	}
	for range 2 {
		if err := lock.Close(); err != nil {
			t.Error(err)
		}
	}
	events, err := b.Shutdowns()
	if err != nil {
		t.Fatal(err)
	}
	for _, begins := range []bool{true, false} {
		if err := server.Emit(loginObject, loginManager+".PrepareForShutdown", begins); err != nil {
			t.Fatal(err)
		}
		if got := <-events; got != begins {
			t.Errorf("told %t, said %t", got, begins)
		}
	}
	b.Close()
	if _, open := <-events; open {
		t.Error("it tells after the connection has ended")
	}
}
