package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	ctrevents "github.com/containerd/containerd/api/events"
	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	eventsAPI "github.com/containerd/containerd/api/services/ttrpc/events/v1"
	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
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
	svc  *service
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
	r.svc = newService(newPublisher(l.Addr().String(), log), func() {}, func() { r.idle <- struct{}{} }, log)
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

func TestLifeOfAContainer(t *testing.T) {
	r := newRig(t)
	out, text := r.fifo("out")
	r.must(r.create(&taskAPI.CreateTaskRequest{ID: "c", Bundle: r.bundle("c", "sh", "-c", "trap 'echo bye; exit 7' TERM; echo hello; while :; do sleep 0.05; done"), Stdout: out}))
	if err := r.create(&taskAPI.CreateTaskRequest{ID: "c", Bundle: filepath.Join(r.dir, "c")}); !errdefs.IsAlreadyExists(err) {
		t.Errorf("made twice: %v", err)
	}
	if s := r.status("c", ""); s != tasktypes.Status_CREATED {
		t.Errorf("made, it is %v", s)
	}
	r.start("c", "")
	if s := r.status("c", ""); s != tasktypes.Status_RUNNING {
		t.Errorf("started, it is %v", s)
	}
	if st, err := r.svc.Stats(r.ctx, &taskAPI.StatsRequest{ID: "c"}); err != nil || len(st.Stats.GetValue()) == 0 {
		t.Errorf("stats: %v", err)
	}
	if p, err := r.svc.Pids(r.ctx, &taskAPI.PidsRequest{ID: "c"}); err != nil || len(p.Processes) == 0 {
		t.Errorf("pids: %v, %v", p, err)
	}
	if _, err := r.svc.Delete(r.ctx, &taskAPI.DeleteRequest{ID: "c"}); !errdefs.IsFailedPrecondition(errgrpc.ToNative(err)) {
		t.Errorf("deleted while it runs: %v", err)
	}

	// A process beside the first: what it is given comes back, and its end is told.
	eout, etext := r.fifo("eout")
	in := filepath.Join(r.dir, "in")
	r.must(unix.Mkfifo(in, 0o600))
	_, err := r.svc.Exec(r.ctx, &taskAPI.ExecProcessRequest{ID: "c", ExecID: "e", Spec: processSpec(t, "sh", "-c", "cat; exit 3"), Stdin: in, Stdout: eout})
	r.must(err)
	r.start("c", "e")
	w, err := os.OpenFile(in, os.O_WRONLY, 0)
	r.must(err)
	_, _ = w.WriteString("echoed")
	w.Close()
	_, err = r.svc.CloseIO(r.ctx, &taskAPI.CloseIORequest{ID: "c", ExecID: "e", Stdin: true})
	r.must(err)
	r.wait("c", "e", 3)
	if s := etext(); s != "echoed" {
		t.Errorf("the other process says %q", s)
	}
	_, err = r.svc.Delete(r.ctx, &taskAPI.DeleteRequest{ID: "c", ExecID: "e"})
	r.must(err)
	if _, err := r.svc.State(r.ctx, &taskAPI.StateRequest{ID: "c", ExecID: "e"}); !errdefs.IsNotFound(errgrpc.ToNative(err)) {
		t.Errorf("state of a deleted process: %v", err)
	}

	_, err = r.svc.Exec(r.ctx, &taskAPI.ExecProcessRequest{ID: "c", ExecID: "none", Spec: processSpec(t, "nosuch")})
	r.must(err)
	if _, err := r.svc.Start(r.ctx, &taskAPI.StartRequest{ID: "c", ExecID: "none"}); err == nil || !strings.Contains(err.Error(), `exec: "nosuch": executable file not found in $PATH`) {
		t.Errorf("started nothing: %v", err)
	}
	if _, err := r.svc.Start(r.ctx, &taskAPI.StartRequest{ID: "c", ExecID: "none"}); !errdefs.IsFailedPrecondition(errgrpc.ToNative(err)) {
		t.Errorf("started again: %v", err)
	}
	_, err = r.svc.Delete(r.ctx, &taskAPI.DeleteRequest{ID: "c", ExecID: "none"})
	r.must(err)

	_, err = r.svc.Kill(r.ctx, &taskAPI.KillRequest{ID: "c", Signal: uint32(syscall.SIGTERM)})
	r.must(err)
	r.wait("c", "", 7)
	if s := r.status("c", ""); s != tasktypes.Status_STOPPED {
		t.Errorf("ended, it is %v", s)
	}
	if _, err := r.svc.Kill(r.ctx, &taskAPI.KillRequest{ID: "c", Signal: 9}); !errdefs.IsNotFound(errgrpc.ToNative(err)) {
		t.Errorf("killed twice: %v", err)
	}
	if s := text(); s != "hello\nbye\n" { // ends before the container is deleted, as containerd waits for
		t.Errorf("it says %q", s)
	}
	if r.svc.count() != 1 {
		t.Error("gone before it is deleted")
	}
	d, err := r.svc.Delete(r.ctx, &taskAPI.DeleteRequest{ID: "c"})
	r.must(err)
	if d.ExitStatus != 7 || r.svc.count() != 0 {
		t.Errorf("deleted with %d, %d are left", d.ExitStatus, r.svc.count())
	}
	if left, _ := os.ReadDir(filepath.Join(r.dir, "state", "test")); len(left) > 0 {
		t.Errorf("state is left: %v", left)
	}
	r.saw("create", "start", "exec-added", "exec-started e", "exit e 3", "exec-added", "exit c 7", "delete")
}

// A container that is killed takes its other processes along, and their ends are told before its own.
func TestEndsInOrder(t *testing.T) {
	r := newRig(t)
	r.must(r.create(&taskAPI.CreateTaskRequest{ID: "c", Bundle: r.bundle("c", "sleep", "1000")}))
	r.start("c", "")
	_, err := r.svc.Exec(r.ctx, &taskAPI.ExecProcessRequest{ID: "c", ExecID: "e", Spec: processSpec(t, "sleep", "1000")})
	r.must(err)
	r.start("c", "e")
	_, err = r.svc.Kill(r.ctx, &taskAPI.KillRequest{ID: "c", Signal: 9})
	r.must(err)
	r.wait("c", "", 137)
	r.saw("create", "start", "exec-added", "exec-started e", "exit e 137", "exit c 137")
	_, err = r.svc.Delete(r.ctx, &taskAPI.DeleteRequest{ID: "c"})
	r.must(err)
}

func TestTerminal(t *testing.T) {
	r := newRig(t)
	out, text := r.fifo("out")
	in := filepath.Join(r.dir, "in")
	r.must(unix.Mkfifo(in, 0o600))
	r.must(r.create(&taskAPI.CreateTaskRequest{ID: "c", Terminal: true, Stdin: in, Stdout: out,
		Bundle: r.bundle("c", "sh", "-c", "read x; stty size; echo got $x")}))
	_, err := r.svc.ResizePty(r.ctx, &taskAPI.ResizePtyRequest{ID: "c", Width: 91, Height: 17})
	r.must(err)
	r.start("c", "")
	w, err := os.OpenFile(in, os.O_WRONLY, 0)
	r.must(err)
	_, _ = w.WriteString("a line\n")
	r.wait("c", "", 0)
	w.Close()
	if s := text(); !strings.Contains(s, "17 91\r\n") || !strings.Contains(s, "got a line\r\n") {
		t.Errorf("the terminal shows %q", s)
	}
	_, err = r.svc.Delete(r.ctx, &taskAPI.DeleteRequest{ID: "c"})
	r.must(err)
}

// What cannot be made says why, in the words people know, and leaves nothing.
func TestCannotBeMade(t *testing.T) {
	r := newRig(t)
	err := r.create(&taskAPI.CreateTaskRequest{ID: "c", Bundle: r.bundle("c", "/nosuch")})
	if err == nil || !strings.Contains(err.Error(), "OCI runtime create failed: runc create failed: unable to start container process") ||
		!strings.Contains(err.Error(), `exec: "/nosuch": stat /nosuch: no such file or directory`) {
		t.Errorf("%v", err)
	}
	if r.svc.count() != 0 {
		t.Error("a container is left")
	}
	if left, _ := os.ReadDir(filepath.Join(r.dir, "state", "test")); len(left) > 0 {
		t.Errorf("state is left: %v", left)
	}
	if _, err := r.svc.State(r.ctx, &taskAPI.StateRequest{ID: "c"}); !errdefs.IsNotFound(errgrpc.ToNative(err)) {
		t.Errorf("state of none: %v", err)
	}
}

// A monitor stays while somebody was promised it, and goes after its last container.
func TestLeave(t *testing.T) {
	dir := t.TempDir()
	control, err := listen(filepath.Join(dir, "ctl"))
	if err != nil {
		t.Fatal(err)
	}
	containers := 1
	var mu sync.Mutex
	m := &monitor{control: control, gone: make(chan struct{}), containers: func() int {
		mu.Lock()
		defer mu.Unlock()
		return containers
	}}
	go m.answer()
	ask := func() error {
		c, err := net.Dial("unix", filepath.Join(dir, "ctl"))
		if err != nil {
			return err
		}
		defer c.Close()
		if n, _ := c.Read(make([]byte, 1)); n != 1 {
			return errors.New("refused")
		}
		return nil
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	m.took()
	m.idle() // there is one
	mu.Lock()
	containers = 0
	mu.Unlock()
	if err := ask(); err != nil { // another is announced
		t.Fatal(err)
	}
	m.idle()
	select {
	case <-m.gone:
		t.Fatal("left although a container was announced")
	case <-time.After(100 * time.Millisecond):
	}
	m.took() // it came, and went
	select {
	case <-m.gone:
	case <-time.After(10 * time.Second):
		t.Fatal("still there")
	}
	if err := ask(); err == nil {
		t.Error("promised after it had left")
	}
}
