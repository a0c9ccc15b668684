package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	ctrevents "github.com/containerd/containerd/api/events"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	eventsAPI "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// rig is a service with a containerd that only listens to its events.
type rig struct {
	*testing.T
	svc  *taskService
	dir  string
	ctx  context.Context
	idle chan struct{}

	mu     sync.Mutex
	events []string
}

func newRig(t *testing.T) *rig {
	if os.Geteuid() != 0 {
		t.Skip("containers take root")
	}
	r := &rig{T: t, dir: t.TempDir(), idle: make(chan struct{}, 100)}
	md := ttrpc.MD{}
	md.Set("containerd-namespace-ttrpc", "test")
	ctx, cancel := context.WithTimeout(ttrpc.WithMetadata(t.Context(), md), time.Minute)
	t.Cleanup(cancel)
	t.Cleanup(func() {
		groups, _ := filepath.Glob("/sys/fs/cgroup/*/sampan-monitor-test")
		for _, g := range append(groups, "/sys/fs/cgroup/sampan-monitor-test") {
			_ = os.Remove(g) // the containers' own are gone
		}
	})
	r.ctx = ctx

	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	eventsAPI.RegisterTTRPCEventsService(server, r)
	l, err := net.Listen("unix", filepath.Join(r.dir, "e"))
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(context.Background(), l) //nolint:errcheck // ends with the test
	t.Cleanup(func() { server.Close() })
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	r.svc = newTaskService(newPublisher(l.Addr().String(), log), func() {}, func() { r.idle <- struct{}{} }, log)
	return r
}

// Forward notes an event as "topic exec status".
func (r *rig) Forward(_ context.Context, q *eventsAPI.ForwardRequest) (*emptypb.Empty, error) {
	v, err := typeurl.UnmarshalAny(q.Envelope.Event)
	if err != nil {
		return nil, err
	}
	text := strings.TrimPrefix(q.Envelope.Topic, "/tasks/")
	switch e := v.(type) {
	case *ctrevents.TaskExit:
		text += fmt.Sprint(" ", e.ID, " ", e.ExitStatus)
	case *ctrevents.TaskExecStarted:
		text += " " + e.ExecID
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, text)
	return &emptypb.Empty{}, nil
}

// saw waits until exactly these events have come, in this order.
func (r *rig) saw(want ...string) {
	r.Helper()
	r.svc.events.flush(10 * time.Second)
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := fmt.Sprint(r.events); got != fmt.Sprint(want) {
		r.Errorf("events\n%s\nwant\n%s", got, fmt.Sprint(want))
	}
}

// bundle makes a container's directory: busybox, and a process in namespaces of its own.
func (r *rig) bundle(id string, args ...string) string {
	r.Helper()
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		r.Skip("busybox is not there (.ci/install installs it)")
	}
	b := filepath.Join(r.dir, id)
	bin := filepath.Join(b, "rootfs", "bin")
	for _, d := range []string{bin, filepath.Join(b, "rootfs", "proc"), filepath.Join(b, "rootfs", "dev"), filepath.Join(b, "rootfs", "sys")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			r.Fatal(err)
		}
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "busybox"), data, 0o755); err != nil {
		r.Fatal(err)
	}
	for _, name := range []string{"sh", "sleep", "cat", "stty", "true"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			r.Fatal(err)
		}
	}
	spec := specs.Spec{
		Version: "1.2.0", Root: &specs.Root{Path: "rootfs"},
		Process: &specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc"},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"mode=755"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"newinstance", "ptmxmode=0666", "mode=0620"}},
		},
		Linux: &specs.Linux{CgroupsPath: "/sampan-monitor-test/" + filepath.Base(r.dir) + id, Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.MountNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.NetworkNamespace},
		}},
	}
	body, err := json.Marshal(spec)
	if err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b, "config.json"), body, 0o600); err != nil {
		r.Fatal(err)
	}
	return b
}

// fifo makes a named pipe and reads it in the background; the text comes when it ends.
func (r *rig) fifo(name string) (path string, text func() string) {
	r.Helper()
	path = filepath.Join(r.dir, name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		r.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		r.Fatal(err)
	}
	hold, err := os.OpenFile(path, os.O_WRONLY|unix.O_NONBLOCK, 0) // so that reading does not end before writing begins
	if err != nil {
		r.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(f)
		f.Close()
		got <- string(b)
	}()
	return path, func() string {
		hold.Close()
		select {
		case s := <-got:
			return s
		case <-r.ctx.Done():
			r.Fatalf("%s did not end", name)
			return ""
		}
	}
}

func (r *rig) create(q *taskAPI.CreateTaskRequest) error {
	r.Helper()
	opts, err := typeurl.MarshalAnyToProto(&runcoptions.Options{Root: filepath.Join(r.dir, "state")})
	if err != nil {
		r.Fatal(err)
	}
	q.Options = opts
	_, err = r.svc.Create(r.ctx, q)
	return errgrpc.ToNative(err)
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) status(id, exec string) tasktypes.Status {
	r.Helper()
	s, err := r.svc.State(r.ctx, &taskAPI.StateRequest{ID: id, ExecID: exec})
	r.must(err)
	return s.Status
}

func (r *rig) wait(id, exec string, want uint32) {
	r.Helper()
	w, err := r.svc.Wait(r.ctx, &taskAPI.WaitRequest{ID: id, ExecID: exec})
	r.must(err)
	if w.ExitStatus != want || w.ExitedAt.AsTime().Before(time.Now().Add(-time.Minute)) {
		r.Errorf("%s %s ended with %d at %v, want %d", id, exec, w.ExitStatus, w.ExitedAt.AsTime(), want)
	}
}

func (r *rig) start(id, exec string) {
	r.Helper()
	s, err := r.svc.Start(r.ctx, &taskAPI.StartRequest{ID: id, ExecID: exec})
	r.must(err)
	if s.Pid == 0 {
		r.Error("no pid")
	}
}

func processSpec(t *testing.T, args ...string) *anypb.Any {
	b, err := json.Marshal(&specs.Process{Args: args, Cwd: "/", Env: []string{"PATH=/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	return &anypb.Any{TypeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Process", Value: b}
}
