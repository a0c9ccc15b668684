package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	sandboxAPI "github.com/containerd/containerd/api/runtime/sandbox/v1"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/ttrpc"
)

// arguments is what the monitor is started with; the flags in main.go say more.
type arguments struct {
	dir    string // containerd's state directory, where the sockets are made
	name   string // what the sockets' names begin with
	events string // path of containerd's ttrpc socket, where events are sent
	ready  int    // descriptor of a file that gets a byte once the sockets are there; -1 for none
}

// The endings of the sockets' names, which the launcher knows too.
const (
	taskSocket    = ".sock" // the task and the sandbox service, for containerd
	controlSocket = ".ctl"  // answers a connection with a byte: the monitor stays until a container was made, or for announced
)

// serve serves containerd until the monitor is no longer needed. It is called once in the life of the process.
func serve(args arguments, log *slog.Logger) error {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP, syscall.SIGINT)
	events := newPublisher(args.events, log)
	m := &monitor{gone: make(chan struct{})}
	m.mu.await = []time.Time{time.Now().Add(announced)} // for the launcher that started us
	svc := newTaskService(events, m.took, m.idle, log)

	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	taskAPI.RegisterTTRPCTaskService(server, svc)
	boxes := newSandboxService(filepath.Join(filepath.Dir(self), "pause"), args.dir, m.took, m.idle)
	sweep(args.dir, monitorsOf(args.dir), log)
	if len(monitorsOf(args.dir)) == 0 {
		sweepSandboxes(boxes.state)
	}
	sandboxAPI.RegisterTTRPCSandboxService(server, boxes)
	tasks, err := listen(filepath.Join(args.dir, args.name+taskSocket))
	if err != nil {
		return err
	}
	control, err := listen(filepath.Join(args.dir, args.name+controlSocket))
	if err != nil {
		return err
	}
	m.containers = func() int { return svc.count() + boxes.count() }
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
	if args.ready >= 0 {
		f := os.NewFile(uintptr(args.ready), "ready")
		_, _ = f.Write([]byte{'.'})
		f.Close()
	}
	<-m.gone
	tasks.Close()
	events.flush(time.Second)
	return nil
}

// listen makes a socket at path and removes one that a dead monitor left there. Nobody else does so meanwhile: the launcher that
// started us holds a lock until we write to ready.
func listen(path string) (net.Listener, error) {
	_ = os.Remove(path)
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}
