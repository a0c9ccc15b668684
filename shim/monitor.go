package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	sandboxAPI "github.com/containerd/containerd/api/runtime/sandbox/v1"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
)

type config struct {
	dir    string // of the sockets
	name   string // of this monitor: what the sockets' names begin with
	events string // containerd's ttrpc socket
	ready  int    // file descriptor; -1 for none
}

// The sockets in the state directory of containerd. The launcher knows them too.
const (
	taskSocket    = ".sock" // the task service, for containerd
	controlSocket = ".ctl"  // a connection is answered with a byte: the monitor stays for a while yet
)

// How long a monitor without containers stays for one that was announced, and for containerd to hang up.
const (
	announced = 10 * time.Second
	farewell  = time.Minute
)

func run(cfg config, log *slog.Logger) error {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP, syscall.SIGINT)
	events := newPublisher(cfg.events, log)
	m := &monitor{gone: make(chan struct{})}
	m.mu.await = []time.Time{time.Now().Add(announced)} // for the launcher that started us
	svc := newService(events, m.took, m.idle, log)

	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	taskAPI.RegisterTTRPCTaskService(server, svc)
	boxes := &sandboxes{service: svc, pause: filepath.Join(filepath.Dir(self), "pause"), state: cfg.dir}
	sweep(cfg.dir, monitorsOf(cfg.dir), log)
	boxes.sweep()
	sandboxAPI.RegisterTTRPCSandboxService(server, boxes)
	tasks, err := listen(filepath.Join(cfg.dir, cfg.name+taskSocket))
	if err != nil {
		return err
	}
	control, err := listen(filepath.Join(cfg.dir, cfg.name+controlSocket))
	if err != nil {
		return err
	}
	m.containers = svc.count
	m.control = control

	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() { // ends with the process
		for range term {
			m.idle()
		}
	}()
	go m.answer()
	go func() { // ends with the server
		if err := server.Serve(context.Background(), countingListener{tasks, m}); err != nil && !errors.Is(err, net.ErrClosed) {
			log.Error("task service ended", "error", err)
		}
	}()
	if cfg.ready >= 0 {
		f := os.NewFile(uintptr(cfg.ready), "ready")
		_, _ = f.Write([]byte{'.'})
		f.Close()
	}
	<-m.gone
	tasks.Close()
	events.flush(time.Second)
	return nil
}

// listen makes a socket at path, in place of one that a dead monitor left. The launcher holds a lock meanwhile.
func listen(path string) (net.Listener, error) {
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// monitor decides when the process may end.
type monitor struct {
	control    net.Listener
	containers func() int
	gone       chan struct{} // closed when it is time to end

	mu struct {
		sync.Mutex
		await []time.Time // when those give up who were promised that the monitor stays for their container
		conns int         // of containerd
		ended bool
		watch bool // leave runs
	}
}

// answer promises launchers to stay. One that is refused starts another monitor.
func (m *monitor) answer() {
	for {
		c, err := m.control.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		if !m.mu.ended {
			m.mu.await = append(m.mu.await, time.Now().Add(announced))
			_, _ = c.Write([]byte{'.'})
		}
		m.mu.Unlock()
		c.Close()
	}
}

// idle is called when there may be no container left.
func (m *monitor) idle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mu.watch && m.containers() == 0 {
		m.mu.watch = true
		go m.leave()
	}
}

// leave ends the process once nobody needs it: no containers, none announced, and containerd has hung up or had its time to.
func (m *monitor) leave() {
	left := time.Now()
	for ; ; time.Sleep(20 * time.Millisecond) {
		m.mu.Lock()
		switch {
		case m.containers() > 0:
			m.mu.watch = false
			m.mu.Unlock()
			return
		case m.awaitedLocked(), m.mu.conns > 0 && time.Since(left) < farewell:
			m.mu.Unlock()
			continue
		}
		m.mu.ended = true
		m.mu.Unlock()
		m.control.Close() // takes its file along
		close(m.gone)
		return
	}
}

// took is called when a container is there that may have been announced.
func (m *monitor) took() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mu.await) > 0 {
		m.mu.await = m.mu.await[1:]
	}
}

func (m *monitor) awaitedLocked() bool {
	for len(m.mu.await) > 0 && time.Now().After(m.mu.await[0]) {
		m.mu.await = m.mu.await[1:]
	}
	return len(m.mu.await) > 0
}

// countingListener counts the connections that are open.
type countingListener struct {
	net.Listener
	m *monitor
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.m.add(1)
	return &countedConn{Conn: c, m: l.m}, nil
}

func (m *monitor) add(n int) {
	m.mu.Lock()
	m.mu.conns += n
	m.mu.Unlock()
}

type countedConn struct {
	net.Conn
	m    *monitor
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.m.add(-1) })
	return c.Conn.Close()
}
