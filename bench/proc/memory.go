package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Memory is a cgroup that limits memory. Whoever is to be in it writes its process's number into its file cgroup.procs before
// it becomes the program that is limited.
type Memory struct {
	dir     string
	unified bool
}

// NewMemory makes one of so many bytes. It takes root.
func NewMemory(name string, bytes int64) (*Memory, error) {
	m := &Memory{dir: filepath.Join("/sys/fs/cgroup/memory", name)}
	file := "memory.limit_in_bytes"
	if _, err := os.Stat("/sys/fs/cgroup/memory"); err != nil {
		m.dir, m.unified, file = filepath.Join("/sys/fs/cgroup", name), true, "memory.max"
	}
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, fmt.Errorf("a cgroup for memory: %w", err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, file), []byte(strconv.FormatInt(bytes, 10)), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("a cgroup for memory: %w", err), os.Remove(m.dir))
	}
	return m, nil
}

// Procs is the file to write process numbers to.
func (m *Memory) Procs() string { return filepath.Join(m.dir, "cgroup.procs") }

// Kills is how many processes the kernel has killed for want of memory.
func (m *Memory) Kills() float64 {
	file := "memory.oom_control"
	if m.unified {
		file = "memory.events"
	}
	data, _ := os.ReadFile(filepath.Join(m.dir, file))
	for line := range strings.Lines(string(data)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			v, _ := strconv.ParseFloat(n, 64)
			return v
		}
	}
	return 0
}

// Remove takes the cgroup away, once its processes have ended.
func (m *Memory) Remove() error {
	var err error
	for range 50 {
		if err = os.Remove(m.dir); err == nil || os.IsNotExist(err) {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
