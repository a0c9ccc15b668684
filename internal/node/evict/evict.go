package evict

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Defaults are upstream's hard thresholds on Linux.
var Defaults = map[string]string{"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%", "imagefs.available": "15%", "imagefs.inodesFree": "5%"}

// hold is how long a pressure is reported after it was last seen (evictionPressureTransitionPeriod).
const hold = 5 * time.Minute

// Signals are the amounts that thresholds are compared with.
type Signals struct{ Available, Capacity int64 }

// Pressure says what a node is short of.
type Pressure struct{ Memory, Disk, PID bool }

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
