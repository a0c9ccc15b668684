package hold

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/place"
)

// claim is this process's hold on a data directory: a locked file that names it. The kernel lets go of the lock when the
// process ends, however it ends.
type claim struct{ file *os.File }

// Claim makes the directories and takes the lock, or says which process has it.
func Claim(paths config.Paths) (*claim, error) {
	if err := os.MkdirAll(paths.Data, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", paths.Data, err)
	}
	f, err := os.OpenFile(paths.Claim, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", paths.Data, err)
	}
	for tries := 0; syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; tries++ {
		if tries == 10 {
			f.Close()
			return nil, Held(paths, claimPID(paths))
		}
		time.Sleep(10 * time.Millisecond) // perhaps somebody only looks whether it is locked
	}
	// In this order a file that has a block of the disk keeps it: there may be no other.
	pid := strconv.Itoa(os.Getpid())
	if _, err := f.WriteAt([]byte(pid), 0); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Truncate(int64(len(pid))); err != nil {
		f.Close()
		return nil, err
	}
	if err := place.MakeRunDir(paths.Run); err != nil {
		f.Close()
		return nil, err
	}
	return &claim{f}, nil
}

// Held says who has the data directory.
func Held(paths config.Paths, pid int) error {
	return fmt.Errorf("%s is in use by process %d; 'sampan down --data-dir %s' stops it", paths.Data, pid, paths.Data)
}

func (c *claim) Release() { c.file.Close() }

// Holder returns the process that holds the data directory, or 0. It asks the lock, not the number in the file, so that a
// number left by a dead process is never taken for another process that has it now.
func Holder(paths config.Paths) (int, error) {
	f, err := os.Open(paths.Claim)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return 0, nil // nobody has it; closing lets go
	}
	return claimPID(paths), nil
}

func claimPID(paths config.Paths) int {
	data, err := os.ReadFile(paths.Claim)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return pid
}
