package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	sandboxAPI "github.com/containerd/containerd/api/runtime/sandbox/v1"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// sandbox is the sandbox of one pod: a process that holds its namespaces, and the pod's files.
//
// Life is held while it is made or stopped, so that these follow one another; mu guards how the process is and is never held during
// a call that may block. The goroutine that hold starts waits for the process and alone writes its end; done is closed after that.
// The other fields do not change.
type sandbox struct {
	id     string
	bundle string // containerd's directory for it, which is the process's empty root
	netns  string // path of the network namespace that it enters
	pod    *podConfig
	files  podFiles
	done   chan struct{}

	life sync.Mutex

	mu struct {
		sync.Mutex
		process      *os.Process // nil before it is started
		lifeline     *os.File    // kept open: the process ends when it is closed, and so with the monitor
		begun, ended time.Time
		code         uint32
	}
}

// The states of a sandbox in the words of the CRI.
const (
	stateReady    = "SANDBOX_READY"
	stateNotReady = "SANDBOX_NOTREADY"
)

// start makes the files and starts the process. It can be called again only if it failed.
func (b *sandbox) start(pause string) error {
	b.life.Lock()
	defer b.life.Unlock()
	if b.pid() != 0 {
		return fmt.Errorf("sandbox %s was started already: %w", b.id, errdefs.ErrFailedPrecondition)
	}
	if err := b.files.write(b.pod); err != nil {
		return err
	}
	if err := b.hold(pause); err != nil {
		return fmt.Errorf("start sandbox: %w", err)
	}
	return nil
}

// hold starts pause, the program whose process holds the namespaces, and waits until it has set them up.
func (b *sandbox) hold(pause string) error {
	ours, its, err := socketpair()
	if err != nil {
		return err
	}
	defer its.Close()
	cmd := b.command(pause, its)
	parent := b.pod.cgroupParent
	group, fd, err := ownCgroup(parent, b.id)
	if err != nil {
		ours.Close()
		return err
	}
	if fd != nil {
		defer fd.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(fd.Fd())
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		removeCgroup(group)
		return err
	}
	its.Close()
	process, err := settled(cmd, ours)
	if err == nil && group == "" {
		err = joinCgroups(parent, b.id, process.Pid)
	}
	if err != nil {
		_ = process.Kill()
		_, _ = process.Wait()
		ours.Close()
		removeCgroup(group)
		return err
	}
	lowerScore(process.Pid)
	b.mu.Lock()
	b.mu.process, b.mu.lifeline, b.mu.begun = process, ours, time.Now()
	b.mu.Unlock()
	go func() { // ends with the process
		st, _ := process.Wait()
		b.mu.Lock()
		b.mu.code, b.mu.ended = exitCode(st), time.Now()
		b.mu.Unlock()
		ours.Close()
		removeCgroup(group)
		close(b.done)
	}()
	return nil
}

// command is how pause is started: with the namespaces that it is to hold, or without any where the pod has users of its own.
func (b *sandbox) command(pause string, its *os.File) *exec.Cmd {
	flags := uintptr(unix.CLONE_NEWNS)
	empty, netns, hostname := b.bundle, b.netns, b.pod.hostname
	if b.pod.network == nodeMode {
		netns, hostname = "", "" // of the host, as both are
	} else {
		flags |= unix.CLONE_NEWUTS
	}
	if b.pod.ipc != nodeMode {
		flags |= unix.CLONE_NEWIPC
	}
	if b.pod.pid != nodeMode {
		flags |= unix.CLONE_NEWPID
	}
	if b.pod.userNamespace {
		flags, empty = 0, ""
	}
	return &exec.Cmd{
		Path: pause, Args: append([]string{"/pause", empty, netns, hostname}, b.pod.settings()...), Env: []string{},
		Dir: "/", ExtraFiles: []*os.File{its}, SysProcAttr: &syscall.SysProcAttr{Cloneflags: flags, Setsid: true},
	}
}

// settled waits until pause has set up its namespaces, and returns the process that holds them, also with an error. Pause says "."
// then, or what went wrong; before that, the number of another child of ours that goes on in its place.
func settled(cmd *exec.Cmd, lifeline *os.File) (*os.Process, error) {
	process := cmd.Process
	said := make([]byte, 4096)
	n, _ := lifeline.Read(said)
	if number, next := strings.CutSuffix(string(said[:n]), "\n"); next {
		pid, err := strconv.Atoi(number)
		if err != nil {
			return process, fmt.Errorf("pause said %q", said[:n])
		}
		_, _ = process.Wait()
		if process, err = os.FindProcess(pid); err != nil {
			return process, err
		}
		n, _ = lifeline.Read(said)
	}
	if text := string(said[:n]); text != "." {
		return process, errors.New(cmp.Or(text, "pause ended at once"))
	}
	return process, nil
}

// socketpair returns the two ends of the lifeline of a process, neither of which another process inherits.
func socketpair() (ours, its *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "lifeline"), os.NewFile(uintptr(fds[1]), "lifeline"), nil
}

// lowerScore keeps the process from being killed for want of memory before others, where we may.
func lowerScore(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("-998"), 0)
}

// stop ends the process, and with it all that runs in the sandbox's PID namespace, and frees the memory. It may be called again.
func (b *sandbox) stop() error {
	b.life.Lock()
	defer b.life.Unlock()
	b.mu.Lock()
	process := b.mu.process
	b.mu.Unlock()
	if process != nil {
		_ = process.Kill() // it has nothing to put in order
		<-b.done
	}
	if err := b.files.unmount(); err != nil {
		return fmt.Errorf("unmount shm of sandbox %s: %w", b.id, err)
	}
	return nil
}

// pid is the number of the process, also after it has ended; 0 before it is started.
func (b *sandbox) pid() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mu.process == nil {
		return 0
	}
	return b.mu.process.Pid
}

// status says how the sandbox is; with infoLocked's words if verbose.
func (b *sandbox) status(verbose bool) (*sandboxAPI.SandboxStatusResponse, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := &sandboxAPI.SandboxStatusResponse{SandboxID: b.id, State: stateNotReady}
	if b.mu.process != nil {
		out.Pid, out.CreatedAt = uint32(b.mu.process.Pid), timestamppb.New(b.mu.begun)
		if b.mu.ended.IsZero() {
			out.State = stateReady
		} else {
			out.ExitedAt = timestamppb.New(b.mu.ended)
		}
	}
	if !verbose {
		return out, nil
	}
	var err error
	out.Info, err = b.infoLocked()
	return out, err
}

// infoLocked is what containerd says of its own sandboxes besides the status, under the same names, as far as it is known here.
func (b *sandbox) infoLocked() (map[string]string, error) {
	info := struct {
		Pid         int    `json:"pid"`
		Status      string `json:"processStatus"`
		NetNSClosed bool   `json:"netNamespaceClosed"`
		RuntimeType string `json:"runtimeType"`
	}{Status: "created", RuntimeType: "io.containerd.runc.v2"}
	switch {
	case b.mu.process == nil:
	case b.mu.ended.IsZero():
		info.Pid, info.Status = b.mu.process.Pid, "running"
	default:
		info.Status = "stopped"
	}
	if b.pod.network != nodeMode {
		var st unix.Statfs_t
		info.NetNSClosed = unix.Statfs(b.netns, &st) != nil || st.Type != unix.NSFS_MAGIC && st.Type != unix.PROC_SUPER_MAGIC
	}
	text, err := json.Marshal(info)
	return map[string]string{"info": string(text)}, err
}
