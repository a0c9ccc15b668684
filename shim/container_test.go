package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	taskAPI "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
)

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
