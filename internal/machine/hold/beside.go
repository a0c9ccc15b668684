package hold

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"sampan.dev/internal/config"

	"golang.org/x/sys/unix"
)

// Beside is this program as a further process of the same data directory, under a keeper of its own, which the process that starts it
// does not take along when it ends.
type Beside struct {
	Paths config.Paths // its own, see config.Paths.Apart
	Dir   string       // where it is started, for names of files among Args
	Args  []string
}

// Runs reports whether it runs, or is about to be started again, as it would be started now: with the same arguments, and of the
// same build.
func (b Beside) Runs() bool {
	k, err := findKeeper(b.Paths)
	return err == nil && k != nil && slices.Equal(k.args, b.Args) && (k.child == 0 || sameProgram(k.child))
}

// Run sees to it that it runs until ctx ends, which leaves it running. One that runs with other arguments, or of another build, gives
// way. It returns an error when the keeper ends.
func (b Beside) Run(ctx context.Context) error {
	k, err := findKeeper(b.Paths)
	if err != nil {
		return err
	}
	if b.Runs() && k != nil {
		return b.watch(ctx, k.pid)
	}
	if err := StopKept(ctx, b.Paths); err != nil {
		return err
	}
	cmd, err := b.start()
	if err != nil {
		return err
	}
	if err := b.watch(ctx, cmd.Process.Pid); err != nil {
		return fmt.Errorf("%w (%w); the end of %s:\n%s", err, orEnded(cmd.Wait()), b.Paths.Log, tail(b.Paths.Log, 12))
	}
	return cmd.Process.Release()
}

func (b Beside) start() (*exec.Cmd, error) {
	log, err := os.OpenFile(b.Paths.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("log file: %w", err)
	}
	defer log.Close()
	cmd, err := kept(b.Paths, b.Dir, b.Args)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, b.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return cmd, nil
}

// watch waits for the end of a process that need not be a child; nil when ctx ends first.
func (b Beside) watch(ctx context.Context, pid int) error {
	gone := fmt.Errorf("process %d, which kept the node running, has ended", pid)
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return gone
	}
	if err != nil {
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	f := os.NewFile(uintptr(fd), "process") // Go waits for its end as it waits for a connection, without a thread
	defer f.Close()
	defer context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Now()) })()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	err = conn.Read(func(fd uintptr) bool {
		n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n == 1
	})
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return fmt.Errorf("watch process %d: %w", pid, err)
	}
	return gone
}

// sameProgram reports whether a process runs the very file that this one does.
func sameProgram(pid int) bool {
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	ours, err2 := os.Stat("/proc/self/exe")
	return err == nil && err2 == nil && os.SameFile(theirs, ours)
}
