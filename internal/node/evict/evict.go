package evict

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Defaults are upstream's hard thresholds on Linux.
var Defaults = map[string]string{"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%", "imagefs.available": "15%", "imagefs.inodesFree": "5%"}

// hold is how long a pressure is reported after it was last seen (evictionPressureTransitionPeriod).
const hold = 5 * time.Minute

// Signals are the amounts that thresholds are compared with.
type Signals struct{ Available, Capacity int64 }

// Pressure says what a node is short of.
type Pressure struct{ Memory, Disk, PID bool }

// Watcher compares the machine with thresholds.
type Watcher struct {
	thresholds map[string]threshold
	nodeFS     string
	read       func(signal, nodeFS string) (Signals, bool)

	mu struct {
		sync.Mutex
		seen map[string]time.Time
	}
}

type threshold struct {
	amount  int64
	percent float32
}

// New parses thresholds ("memory.available": "100Mi", "nodefs.available": "10%"). nodeFS is a path on the file system that
// pods' volumes and logs are on.
func New(thresholds map[string]string, nodeFS string) (*Watcher, error) {
	w := &Watcher{thresholds: map[string]threshold{}, nodeFS: nodeFS, read: Read}
	w.mu.seen = map[string]time.Time{}
	for signal, v := range thresholds {
		t, err := parse(v)
		if err != nil {
			return nil, fmt.Errorf("eviction threshold %s=%s: %w", signal, v, err)
		}
		w.thresholds[signal] = t
	}
	return w, nil
}

func parse(v string) (threshold, error) {
	if p, ok := strings.CutSuffix(v, "%"); ok {
		f, err := strconv.ParseFloat(p, 32)
		if err != nil || f < 0 || f > 100 {
			return threshold{}, fmt.Errorf("want 0%% to 100%%")
		}
		return threshold{percent: float32(f) / 100}, nil
	}
	q, err := resource.ParseQuantity(v)
	return threshold{amount: q.Value()}, err
}

// Look reads the machine and returns its pressure; one that has passed is still reported for five minutes, so that
// conditions do not flap.
func (w *Watcher) Look(now time.Time) Pressure {
	w.mu.Lock()
	defer w.mu.Unlock()
	for signal, t := range w.thresholds {
		s, ok := w.read(signal, w.nodeFS)
		if !ok {
			continue
		}
		if s.Available < t.of(s.Capacity) {
			w.mu.seen[condition(signal)] = now
		}
	}
	held := func(c string) bool {
		at, ok := w.mu.seen[c]
		return ok && now.Sub(at) < hold
	}
	return Pressure{Memory: held("memory"), Disk: held("disk"), PID: held("pid")}
}

func condition(signal string) string {
	switch {
	case strings.HasPrefix(signal, "memory."), strings.HasPrefix(signal, "allocatableMemory."):
		return "memory"
	case strings.HasPrefix(signal, "pid."):
		return "pid"
	}
	return "disk"
}

// Read reads one signal of this machine.
func Read(signal, nodeFS string) (Signals, bool) {
	switch signal {
	case "memory.available":
		return memory()
	case "pid.available":
		return pids()
	case "nodefs.available", "imagefs.available":
		var st unix.Statfs_t
		if unix.Statfs(nodeFS, &st) != nil {
			return Signals{}, false
		}
		return Signals{Available: int64(st.Bavail) * st.Bsize, Capacity: int64(st.Blocks) * st.Bsize}, true
	case "nodefs.inodesFree", "imagefs.inodesFree":
		var st unix.Statfs_t
		if unix.Statfs(nodeFS, &st) != nil || st.Files == 0 {
			return Signals{}, false // a file system without a fixed number of inodes is never short of them
		}
		return Signals{Available: int64(st.Ffree), Capacity: int64(st.Files)}, true
	}
	return Signals{}, false
}

func memory() (Signals, bool) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return Signals{}, false
	}
	defer f.Close()
	var s Signals
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		if len(fields) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			s.Capacity = kb << 10
		case "MemAvailable:":
			s.Available = kb << 10
		}
	}
	return s, s.Capacity > 0
}

func pids() (Signals, bool) {
	b, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		return Signals{}, false
	}
	limit, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return Signals{}, false
	}
	load, err := os.ReadFile("/proc/loadavg") // its fourth field is running/all threads
	if err != nil {
		return Signals{}, false
	}
	f := strings.Fields(string(load))
	if len(f) < 4 {
		return Signals{}, false
	}
	_, all, _ := strings.Cut(f[3], "/")
	n, err := strconv.ParseInt(all, 10, 64)
	return Signals{Available: limit - n, Capacity: limit}, err == nil
}
