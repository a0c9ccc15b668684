package cgroup

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestLimitsOnBothVersions writes and reads back a pod's limits on a folder that stands for each version of the mount.
func TestLimitsOnBothVersions(t *testing.T) {
	for name, unified := range map[string]bool{"v1": false, "v2": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			m := Over(dir, unified, "cpu", "memory", "pids")
			p := Pod{UID: "u", Class: Burstable}
			for _, d := range m.dirs(m.Path(p)) {
				if err := os.MkdirAll(d, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if _, ok := m.Limits(p); ok {
				t.Error("limits of a group without files")
			}
			for _, want := range []Limits{
				{Memory: 64 << 20, Quota: 150000, Shares: 512}, {Shares: 2}, {Memory: 1 << 30, Shares: 1024}, {Quota: 1000, Shares: 102},
			} {
				for _, err := range []error{m.SetMemory(p, want.Memory), m.SetQuota(p, want.Quota), m.SetShares(p, want.Shares)} {
					if err != nil {
						t.Fatal(err)
					}
				}
				got, ok := m.Limits(p)
				if !ok || got.Memory != want.Memory || got.Quota != want.Quota || !SameShares(want.Shares, got.Shares) {
					t.Errorf("wrote %+v, read %+v, %t", want, got, ok)
				}
			}
			file := map[bool]string{true: "kubepods/burstable/podu/cpu.max", false: "cpu/kubepods/burstable/podu/cpu.cfs_quota_us"}[unified]
			want := map[bool]string{true: "1000 100000", false: "1000"}[unified]
			if b, _ := os.ReadFile(filepath.Join(dir, file)); strings.TrimSpace(string(b)) != want {
				t.Errorf("%s has %q, want %q", file, b, want)
			}
		})
	}
}

func TestSharesReadBack(t *testing.T) {
	for _, shares := range []uint64{2, 3, 102, 512, 1024, 262144} {
		if !SameShares(shares, sharesOf(Weight(shares))) {
			t.Errorf("%d shares do not survive their weight", shares)
		}
	}
	if SameShares(102, 1024) {
		t.Error("102 and 1024 shares are one")
	}
}

// TestWidened has a group leave room for what its containers have and for what they are to have.
func TestWidened(t *testing.T) {
	for name, c := range map[string]struct{ given, held, want Pod }{
		"narrowed":      {Pod{UID: "u", CPULimitMilli: 70, MemoryLimit: 32, CPURequestMilli: 10}, Pod{CPULimitMilli: 100, MemoryLimit: 64, CPURequestMilli: 20}, Pod{UID: "u", CPULimitMilli: 100, MemoryLimit: 64, CPURequestMilli: 20}},
		"widened":       {Pod{CPULimitMilli: 100, MemoryLimit: 64}, Pod{CPULimitMilli: 70, MemoryLimit: 32}, Pod{CPULimitMilli: 100, MemoryLimit: 64}},
		"each its own":  {Pod{CPULimitMilli: 100, MemoryLimit: 32}, Pod{CPULimitMilli: 70, MemoryLimit: 64}, Pod{CPULimitMilli: 100, MemoryLimit: 64}},
		"limits added":  {Pod{CPULimitMilli: 100, MemoryLimit: 32}, Pod{}, Pod{}},
		"limits gone":   {Pod{}, Pod{CPULimitMilli: 100, MemoryLimit: 32}, Pod{}},
		"nothing to do": {Pod{CPULimitMilli: 100, Pids: 5, MemoryMin: 7}, Pod{CPULimitMilli: 100}, Pod{CPULimitMilli: 100, Pids: 5, MemoryMin: 7}},
	} {
		if got := c.given.Widened(c.held); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
