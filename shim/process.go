package main

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// process is one process of a container that containerd knows by an id: the first, or one that was added by Exec. Processes that
// these start themselves are the kernel's and libcontainer's business.
//
// Whoever starts it sets lib and then pid; readers that see a pid may use lib. mu guards how it went; done is closed after that is
// written, by ended, which is called once.
type process struct {
	id   string // as containerd names it: the container's for the first
	io   *stdio
	spec *specs.Process
	lib  *libcontainer.Process // set before pid is
	pid  atomic.Uint32         // 0 before it is started
	done chan struct{}         // closed when it has ended

	mu struct {
		sync.Mutex
		begun  bool // its start has been asked for
		code   uint32
		exited time.Time
	}
}

func newProcess(id string, io *stdio, spec *specs.Process) *process {
	return &process{id: id, io: io, spec: spec, done: make(chan struct{})}
}

// begin notes that somebody starts the process, and reports whether nobody did before.
func (p *process) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.mu.begun
	p.mu.begun = true
	return !was
}

// hasBegun reports whether somebody has started the process, or tried to.
func (p *process) hasBegun() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.begun
}

// ended notes the exit code and the time, calls tell, and then closes done: who waits for the end learns of it after containerd.
func (p *process) ended(code uint32, tell func()) {
	p.mu.Lock()
	p.mu.code, p.mu.exited = code, time.Now()
	p.mu.Unlock()
	tell()
	close(p.done)
}

// hasEnded reports whether ended is through.
func (p *process) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// status is the exit code; 0 until the process has ended.
func (p *process) status() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.code
}

// exitedAt is when the process ended; nil until then.
func (p *process) exitedAt() *timestamppb.Timestamp {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.exited.IsZero() {
		return nil
	}
	return timestamppb.New(p.mu.exited)
}

// exitCode is the exit code as a shell counts it: 128 plus the signal for a process that was killed by one; 255 if it is not known.
func exitCode(st *os.ProcessState) uint32 {
	if st == nil {
		return 255
	}
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + uint32(ws.Signal())
	}
	return uint32(st.ExitCode())
}

// signal sends a signal to a further process. The first is signalled through its container.
func (p *process) signal(sig unix.Signal) error {
	if p.pid.Load() == 0 {
		return fmt.Errorf("process not created: %w", errdefs.ErrFailedPrecondition)
	}
	err := p.lib.Signal(sig)
	if p.hasEnded() || errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("process already finished: %w", errdefs.ErrNotFound)
	}
	return err
}

// toLib turns a process of the runtime specification into libcontainer's.
func toLib(p *specs.Process) (*libcontainer.Process, error) {
	out := &libcontainer.Process{
		Args: p.Args, Env: p.Env, Cwd: p.Cwd,
		UID: int(p.User.UID), GID: int(p.User.GID),
		Label: p.SelinuxLabel, AppArmorProfile: p.ApparmorProfile, NoNewPrivileges: &p.NoNewPrivileges,
		Scheduler: p.Scheduler, IOPriority: p.IOPriority,
		LogLevel: "3", // logrus.WarnLevel
	}
	for _, g := range p.User.AdditionalGids {
		out.AdditionalGroups = append(out.AdditionalGroups, int(g))
	}
	if s := p.ConsoleSize; s != nil {
		out.ConsoleWidth, out.ConsoleHeight = uint16(s.Width), uint16(s.Height)
	}
	if c := p.Capabilities; c != nil {
		out.Capabilities = &configs.Capabilities{
			Bounding: c.Bounding, Effective: c.Effective, Inheritable: c.Inheritable, Permitted: c.Permitted, Ambient: c.Ambient,
		}
	}
	for _, r := range p.Rlimits {
		n, ok := rlimits[r.Type]
		if !ok {
			return nil, fmt.Errorf("wrong rlimit value: %s", r.Type)
		}
		out.Rlimits = append(out.Rlimits, configs.Rlimit{Type: n, Hard: r.Hard, Soft: r.Soft})
	}
	var err error
	out.CPUAffinity, err = configs.ConvertCPUAffinity(p.ExecCPUAffinity)
	return out, err
}

// rlimits are the kernel's numbers of the limits, see setrlimit(2).
var rlimits = map[string]int{
	"RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_STACK": unix.RLIMIT_STACK, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
}
