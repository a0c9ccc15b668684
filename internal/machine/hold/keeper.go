package hold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sampan.dev/internal/config"
)

// StopHolder asks the process that holds the data directory to end and waits until the lock is free.
func StopHolder(ctx context.Context, paths config.Paths) error {
	pid, err := Holder(paths)
	if err != nil || pid == 0 {
		return err
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process %d: %w", pid, err)
	}
	return awaitFreed(ctx, paths.Claim, 20*time.Second, func() {
		if now, _ := Holder(paths); now == pid {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
}

// keeper is the process that `up --detach` leaves beside the server, to start it again when it dies (tools/keep). It holds a
// lock for as long as it lives, as the server does on its claim, so that a number in a file is never taken for a process.
type keeper struct {
	pid      int
	child    int // 0 while it waits to start one
	restarts int
	args     []string // of the child, without the program
}

func keeperProgram(paths config.Paths) string { return filepath.Join(paths.Bin, "sampan-keep") }

// keeperArgs is what the program takes before the command that it keeps running.
const keeperArgs = 4

// findKeeper returns the keeper of the data directory, nil when there is none.
func findKeeper(paths config.Paths) (*keeper, error) {
	f, err := os.Open(paths.Keeper)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return nil, nil // nobody has it; closing lets go
	}
	line, err := io.ReadAll(io.LimitReader(f, 100))
	if err != nil {
		return nil, err
	}
	k := &keeper{}
	if _, err := fmt.Sscan(string(line), &k.pid, &k.child, &k.restarts); err != nil {
		return nil, nil // it has only just begun, and another `up` waits for it
	}
	if cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", k.pid)); err == nil {
		args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
		if len(args) > keeperArgs+1 {
			k.args = args[keeperArgs+2:]
		}
	}
	return k, nil
}

// isUp reports whether the process has come up and said so.
func isUp(paths config.Paths, pid int) bool {
	data, err := os.ReadFile(paths.Ready)
	return err == nil && pid != 0 && string(bytes.TrimSpace(data)) == strconv.Itoa(pid)
}

// SayUp leaves word for isUp.
func SayUp(paths config.Paths) {
	_ = os.WriteFile(paths.Ready, []byte(strconv.Itoa(os.Getpid())), 0o600) // without it a dead server is not started again
}

// MakeWay is for a start that finds the keeper of an earlier one. A server that has died and was brought back is as good as the
// one that was to be started, if it is the same that was asked for: then running is true. One that is down, or on its way, gives
// way to ours, whoever is quicker. One that somebody started and that runs keeps its place.
func MakeWay(ctx context.Context, paths config.Paths, args []string, out io.Writer) (running bool, err error) {
	k, err := findKeeper(paths)
	if err != nil || k == nil {
		return false, err
	}
	pid, err := Holder(paths)
	if err != nil {
		return false, err
	}
	switch {
	case isUp(paths, pid) && k.restarts > 0 && slices.Equal(k.args, args):
		fmt.Fprintf(out, "the server had died; process %d has brought it back, as process %d\n", k.pid, pid)
		return true, nil
	case isUp(paths, pid):
		return false, Held(paths, pid)
	case k.restarts == 0 && alive(k.child):
		return false, Held(paths, k.child) // its first start is under way
	}
	fmt.Fprintf(out, "the server had died; process %d, which was to start it again, gives way\n", k.pid)
	return false, StopKept(ctx, paths)
}

// alive reports whether a process runs; one that has died and was not waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || pid == 0 {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z'
}

// StopKept ends the keeper, if there is one, and the process that holds the data directory.
func StopKept(ctx context.Context, paths config.Paths) error {
	k, err := findKeeper(paths)
	if err != nil {
		return fmt.Errorf("find what keeps the server running: %w", err)
	}
	if k != nil {
		_ = syscall.Kill(k.pid, syscall.SIGTERM) // passes it on, and starts nothing any more
	}
	if err := StopHolder(ctx, paths); err != nil {
		return err
	}
	if k == nil {
		return nil
	}
	// It may just have started one that held nothing yet.
	killed := false
	err = awaitFreed(ctx, paths.Keeper, 10*time.Second, func() {
		killed = true
		if now, err := findKeeper(paths); err == nil && now != nil && now.pid == k.pid {
			_ = syscall.Kill(k.pid, syscall.SIGKILL)
		}
	})
	if err != nil || !killed {
		return err
	}
	return StopHolder(ctx, paths)
}

// awaitFreed waits until nobody holds the lock on a file; force is called once when that has taken longer than patience.
func awaitFreed(ctx context.Context, file string, patience time.Duration, force func()) error {
	free, err := freed(file)
	if err != nil {
		return err
	}
	select {
	case <-free:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(patience):
	}
	force()
	<-free
	return nil
}

// freed returns a channel that is closed when nobody holds the lock on the file.
func freed(file string) (<-chan struct{}, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	free := make(chan struct{})
	go func() { // ends when the lock is free: the end of who has it frees it in any case
		_ = syscall.Flock(int(f.Fd()), syscall.LOCK_SH)
		close(free)
		f.Close()
	}()
	return free, nil
}
