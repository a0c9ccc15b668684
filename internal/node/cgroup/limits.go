package cgroup

import (
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
)

// Limits are what a group is held to.
type Limits struct {
	Memory int64  // bytes; 0: no limit
	Quota  int64  // microseconds of CPU in each Period; 0: no limit
	Shares uint64 // of CPU beside its neighbours, in v1's measure
}

// LimitsOf is what a pod's group is made with.
func LimitsOf(p Pod) Limits {
	return Limits{Memory: p.MemoryLimit, Quota: Quota(p.CPULimitMilli), Shares: Shares(p.CPURequestMilli)}
}

// sharesOf is the least shares that have this weight.
func sharesOf(weight uint64) uint64 {
	return uint64(2 + sort.Search(262142, func(i int) bool { return Weight(uint64(i)+2) >= weight }))
}

// SameShares reports whether what was read back of a group is what was written to it. On v2 many shares have one weight.
func SameShares(written, read uint64) bool {
	return written == read || sharesOf(Weight(written)) == read
}

// Limits reads what a pod's group is held to; ok is false when it is not there.
func (m *Manager) Limits(p Pod) (l Limits, ok bool) {
	if m.off {
		return l, false
	}
	path := m.Path(p)
	if m.unified {
		weight, ok := m.read(path, "", "cpu.weight")
		if !ok {
			return l, false
		}
		l.Shares = sharesOf(uint64(atoi(weight)))
		if s, ok := m.read(path, "", "cpu.max"); ok {
			quota, period, _ := strings.Cut(s, " ")
			l.Quota = inPeriod(atoi(quota), atoi(period))
		}
		if s, ok := m.read(path, "", "memory.max"); ok {
			l.Memory = atoi(s) // "max" is no number: no limit
		}
		return l, true
	}
	shares, ok := m.read(path, "cpu", "cpu.shares")
	if !ok {
		return l, false
	}
	l.Shares = uint64(atoi(shares))
	if s, ok := m.read(path, "cpu", "cpu.cfs_quota_us"); ok {
		period, _ := m.read(path, "cpu", "cpu.cfs_period_us")
		l.Quota = inPeriod(atoi(s), atoi(period))
	}
	if s, ok := m.read(path, "memory", "memory.limit_in_bytes"); ok {
		if l.Memory = atoi(s); l.Memory > 1<<60 || l.Memory < 0 {
			l.Memory = 0
		}
	}
	return l, true
}

// inPeriod is a quota of some period as one of ours, 0 for none.
func inPeriod(quota, period int64) int64 {
	if quota <= 0 || period <= 0 {
		return 0
	}
	if period == Period {
		return quota
	}
	return quota * Period / period
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func atoi(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}

// SetMemory limits the memory of a pod's group; 0: not at all. One that is below what the group uses is refused by the kernel on v1, and makes
// it reclaim and kill on v2.
func (m *Manager) SetMemory(p Pod, bytes int64) error {
	if m.off {
		return nil
	}
	name, none := "memory.limit_in_bytes", "-1"
	if m.unified {
		name, none = "memory.max", "max"
	}
	if bytes > 0 {
		none = decimal(bytes)
	}
	return m.write(m.Path(p), "memory", name, none)
}

// SetQuota limits the CPU of a pod's group; 0: not at all.
func (m *Manager) SetQuota(p Pod, quota int64) error {
	if m.off {
		return nil
	}
	return m.setQuota(m.Path(p), quota)
}

// SetShares sets a pod's share of CPU.
func (m *Manager) SetShares(p Pod, shares uint64) error {
	if m.off {
		return nil
	}
	return m.setShares(m.Path(p), shares)
}

// read reads a file of a group; ok is false when it is not there.
func (m *Manager) read(path, controller, name string) (string, bool) {
	dirs := m.dirs(path)
	dir, ok := dirs[controller]
	if m.unified {
		dir, ok = dirs[""]
	}
	if !ok {
		return "", false
	}
	b, err := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(b)), err == nil
}
