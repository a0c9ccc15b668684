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

// Widened is p with the limits and shares that leave room for q too: those of a group whose containers are on their way from one to the
// other. The kernel refuses a group of version 1 less CPU than one below it has.
func (p Pod) Widened(q Pod) Pod {
	wider := func(a, b int64) int64 {
		if a == 0 || b == 0 {
			return 0 // no limit
		}
		return max(a, b)
	}
	p.CPURequestMilli = max(p.CPURequestMilli, q.CPURequestMilli)
	p.CPULimitMilli, p.MemoryLimit = wider(p.CPULimitMilli, q.CPULimitMilli), wider(p.MemoryLimit, q.MemoryLimit)
	return p
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

// limit holds a group to what a pod's is made with.
func (m *Manager) limit(path string, p Pod) error {
	if err := m.setCPU(path, Shares(p.CPURequestMilli), Quota(p.CPULimitMilli)); err != nil {
		return err
	}
	if p.MemoryLimit > 0 {
		if err := m.setMemory(path, p.MemoryLimit); err != nil {
			return err
		}
	}
	if p.MemoryMin > 0 || p.MemoryLow > 0 {
		if err := m.protect(path, p.MemoryMin, p.MemoryLow); err != nil {
			return err
		}
	}
	for size, bytes := range p.HugePages {
		if err := m.write(path, "hugetlb", m.hugeFile(size), decimal(bytes)); err != nil {
			return err
		}
	}
	if p.Pids > 0 {
		if err := m.write(path, "pids", "pids.max", decimal(p.Pids)); err != nil {
			return err
		}
		return m.tell(path, property("TasksMax", uint64(p.Pids)))
	}
	return nil
}

// setCPU sets a group's share of CPU, and its limit in each Period; 0: none.
func (m *Manager) setCPU(path string, shares uint64, quota int64) error {
	if err := m.setShares(path, shares); err != nil {
		return err
	}
	return m.setQuota(path, quota)
}

func (m *Manager) setShares(path string, shares uint64) error {
	if m.unified {
		if err := m.write(path, "", "cpu.weight", strconv.FormatUint(Weight(shares), 10)); err != nil {
			return err
		}
		return m.tell(path, property("CPUWeight", Weight(shares)))
	}
	if err := m.write(path, "cpu", "cpu.shares", strconv.FormatUint(shares, 10)); err != nil {
		return err
	}
	return m.tell(path, property("CPUShares", shares))
}

func (m *Manager) setQuota(path string, quota int64) error {
	quota = m.held(quota)
	if err := m.writeQuota(path, quota); err != nil {
		return err
	}
	return m.tell(path, quotaProperties(quota)...)
}

func (m *Manager) writeQuota(path string, quota int64) error {
	if m.unified {
		limit := "max"
		if quota > 0 {
			limit = strconv.FormatInt(quota, 10)
		}
		return m.write(path, "", "cpu.max", limit+" "+strconv.Itoa(Period))
	}
	if quota <= 0 {
		quota = -1
	}
	if err := m.write(path, "cpu", "cpu.cfs_period_us", strconv.Itoa(Period)); err != nil {
		return err
	}
	return m.write(path, "cpu", "cpu.cfs_quota_us", strconv.FormatInt(quota, 10))
}

// setMemory limits a group's memory in bytes; 0: not at all.
func (m *Manager) setMemory(path string, bytes int64) error {
	file, none, name := "memory.limit_in_bytes", "-1", "MemoryLimit"
	if m.unified {
		file, none, name = "memory.max", "max", "MemoryMax"
	}
	told := uint64(infinity)
	if bytes > 0 {
		none, told = decimal(bytes), uint64(bytes)
	}
	if err := m.write(path, "memory", file, none); err != nil {
		return err
	}
	return m.tell(path, property(name, told))
}

// SetMemory limits the memory of a pod's group; 0: not at all. One that is below what the group uses is refused by the kernel on v1, and makes
// it reclaim and kill on v2.
func (m *Manager) SetMemory(p Pod, bytes int64) error {
	if m.off {
		return nil
	}
	return m.setMemory(m.Path(p), bytes)
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
