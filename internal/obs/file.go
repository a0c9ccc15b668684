package obs

import (
	"fmt"
	"os"
	"sync"
	"syscall"
)

// A log file is turned over when it has grown to logSize; so many older ones are kept, the youngest with the lowest number.
const (
	logSize = 16 << 20
	logKept = 3
)

// File is a log file of bounded size: when it is full it becomes NAME.1, what was that NAME.2, and so on, and the oldest goes.
type File struct {
	path string
	std  bool
	max  int64
	mu   struct {
		sync.Mutex
		f    *os.File
		size int64
	}
}

// OpenFile opens the log at path, behind what is in it. With std, the process's standard output and error go there too, also
// after it has been turned over: the last words of a panic are the runtime's, which knows no logger.
func OpenFile(path string, std bool) (*File, error) { return openFile(path, std, logSize) }

func openFile(path string, std bool, size int64) (*File, error) {
	f := &File{path: path, std: std, max: size}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.openLocked(); err != nil {
		return nil, err
	}
	return f, nil
}

// Write implements io.Writer. Each call is one record, which is not divided.
func (f *File) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.size > 0 && f.mu.size+int64(len(p)) > f.max {
		f.turnLocked()
	}
	n, err := f.mu.f.Write(p)
	f.mu.size += int64(n)
	return n, err
}

// Close closes the file; standard output and error stay.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.f.Close()
}

func (f *File) openLocked() error {
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return fmt.Errorf("open the log: %w", err)
	}
	if f.mu.f != nil {
		f.mu.f.Close()
	}
	f.mu.f, f.mu.size = file, info.Size()
	if f.std {
		for _, fd := range []int{1, 2} {
			_ = syscall.Dup3(int(file.Fd()), fd, 0)
		}
	}
	return nil
}

// turnLocked begins a new file. When that cannot be done the old one grows on, and the next try is a file's length away.
func (f *File) turnLocked() {
	for n := logKept - 1; n >= 1; n-- {
		_ = os.Rename(numbered(f.path, n), numbered(f.path, n+1)) // most are not there yet
	}
	if err := os.Rename(f.path, numbered(f.path, 1)); err != nil {
		f.mu.size = 0
		return
	}
	if f.openLocked() != nil {
		f.mu.size = 0
	}
}

func numbered(path string, n int) string { return fmt.Sprintf("%s.%d", path, n) }
