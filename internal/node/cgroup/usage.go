package cgroup

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a group uses, all in it together. Fields are zero where the kernel does not tell.
type Usage struct {
	At         time.Time
	CPU        time.Duration // since the group was made
	Memory     uint64        // bytes charged, caches included
	WorkingSet uint64        // Memory less what could be dropped at once (inactive file pages)
	RSS        uint64
	Faults     uint64
	MajFaults  uint64
	Pids       uint64
	Limit      uint64 // memory limit, 0 for none

	CPUWait, MemoryWait, IOWait *Pressure // nil where it is not known
}

// Usage reads what a pod's group uses.
func (m *Manager) Usage(p Pod) (Usage, bool) {
	if m.off {
		return Usage{}, false
	}
	return m.usage(m.Path(p))
}

// AllPods reads the group that all pods' groups are in.
func (m *Manager) AllPods() (Usage, bool) {
	if m.off {
		return Usage{}, false
	}
	return m.usage(filepath.Join(m.root, m.parts(Pod{})[0]))
}

// Root reads what the whole machine uses, as far as it is in control groups.
func (m *Manager) Root() (Usage, bool) { return m.usage("/") }

func (m *Manager) usage(path string) (Usage, bool) {
	u := Usage{At: time.Now()}
	dirs := m.dirs(path)
	dir := func(controller string) string {
		if m.unified {
			return dirs[""]
		}
		if d, ok := dirs[controller]; ok {
			return d
		}
		return dirs["cpu"] // cpuacct is often mounted with cpu
	}
	if m.unified {
		s := table(filepath.Join(dir(""), "cpu.stat"))
		u.CPU = time.Duration(s["usage_usec"]) * time.Microsecond
		u.Memory = number(filepath.Join(dir(""), "memory.current"))
		if path == "/" { // the root group tells its CPU alone
			u.Memory = inUse("/proc/meminfo")
		}
		u.Limit = number(filepath.Join(dir(""), "memory.max"))
		s = table(filepath.Join(dir(""), "memory.stat"))
		u.RSS, u.Faults, u.MajFaults = s["anon"], s["pgfault"], s["pgmajfault"]
		u.WorkingSet = u.Memory - min(u.Memory, s["inactive_file"])
		u.Pids = number(filepath.Join(dir(""), "pids.current"))
		u.CPUWait, u.MemoryWait, u.IOWait = pressure(dir(""), "cpu"), pressure(dir(""), "memory"), pressure(dir(""), "io")
	} else {
		u.CPU = time.Duration(number(filepath.Join(dir("cpuacct"), "cpuacct.usage")))
		u.Memory = number(filepath.Join(dir("memory"), "memory.usage_in_bytes"))
		u.Limit = number(filepath.Join(dir("memory"), "memory.limit_in_bytes"))
		s := table(filepath.Join(dir("memory"), "memory.stat"))
		u.RSS, u.Faults, u.MajFaults = s["total_rss"], s["total_pgfault"], s["total_pgmajfault"]
		u.WorkingSet = u.Memory - min(u.Memory, s["total_inactive_file"])
		u.Pids = number(filepath.Join(dir("pids"), "pids.current"))
	}
	if u.Limit > 1<<60 {
		u.Limit = 0
	}
	_, err := os.Stat(dir("memory"))
	return u, err == nil
}

// inUse is how much of the machine's memory is in use, in bytes.
func inUse(meminfo string) uint64 {
	t := table(meminfo)
	total, free := t["MemTotal:"], t["MemFree:"]
	return (total - min(total, free)) << 10 // told in kB
}

func number(path string) uint64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64) // "max" is 0: no limit
	return n
}

func table(path string) map[string]uint64 {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	out := map[string]uint64{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if k, v, ok := strings.Cut(sc.Text(), " "); ok {
			out[k], _ = strconv.ParseUint(strings.TrimSuffix(strings.TrimLeft(v, " "), " kB"), 10, 64)
		}
	}
	return out
}
