package cgroup

import (
	"os"
	"path/filepath"
)

// Sums are what pods request together: CPU of the burstable ones in thousandths, memory of each class in bytes where it is to be kept from
// reclaim, else 0.
type Sums struct{ CPU, Guaranteed, Burstable int64 }

// Balance gives the burstable part the CPU shares that its pods request in sum, and on version 2 keeps what pods request from reclaim: what a
// group keeps counts only as far as every group above it keeps as much.
func (m *Manager) Balance(s Sums) error {
	if m.off {
		return nil
	}
	parts := m.parts(Pod{Class: Burstable})
	all := filepath.Join(m.root, parts[0])
	if m.unified && m.there(all) {
		if err := m.protect(all, s.Guaranteed+s.Burstable, s.Burstable); err != nil {
			return err
		}
	}
	burstable := filepath.Join(all, parts[1])
	if !m.there(burstable) {
		return nil
	}
	if m.unified {
		if err := m.write(burstable, "memory", "memory.low", decimal(s.Burstable)); err != nil {
			return err
		}
		if err := m.tell(burstable, property("MemoryLow", uint64(s.Burstable))); err != nil {
			return err
		}
	}
	return m.setCPU(burstable, Shares(s.CPU), 0)
}

// there reports whether a group is there in every hierarchy.
func (m *Manager) there(path string) bool {
	for _, dir := range m.dirs(path) {
		if _, err := os.Stat(dir); err != nil {
			return false
		}
	}
	return true
}

// protect keeps memory of a group from reclaim. Version 1 has nothing of the kind.
func (m *Manager) protect(path string, least, low int64) error {
	if !m.unified {
		return nil
	}
	if err := m.write(path, "memory", "memory.min", decimal(least)); err != nil {
		return err
	}
	if err := m.write(path, "memory", "memory.low", decimal(low)); err != nil {
		return err
	}
	return m.tell(path, property("MemoryMin", uint64(least)), property("MemoryLow", uint64(low)))
}

// SetProtection keeps memory of a pod's group from reclaim, as Ensure does.
func (m *Manager) SetProtection(p Pod) error {
	if m.off {
		return nil
	}
	return m.protect(m.Path(p), p.MemoryMin, p.MemoryLow)
}

// hugeFile is the file with the limit of huge pages of a size.
func (m *Manager) hugeFile(size string) string {
	if m.unified {
		return "hugetlb." + size + ".max"
	}
	return "hugetlb." + size + ".limit_in_bytes"
}

// Swappable reports whether the kernel limits swap by group. The root group has no such limit, so that others are looked at.
func (m *Manager) Swappable() bool {
	if m.off {
		return false
	}
	pattern := filepath.Join(m.mount, "memory", "memory.memsw.limit_in_bytes")
	if m.unified {
		pattern = filepath.Join(m.mount, "*", "memory.swap.max")
	}
	found, _ := filepath.Glob(pattern)
	return len(found) > 0
}
