package memlimit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A laboratory of files: proc is what the kernel says of the process, limits are the limit files by their place below the mounts.
func TestCgroup(t *testing.T) {
	const (
		v1 = "30 23 0:26 / MOUNT/memory rw,nosuid shared:9 - cgroup cgroup rw,memory\n31 23 0:27 / MOUNT/cpu rw - cgroup cgroup rw,cpu\n"
		v2 = "30 23 0:26 / MOUNT/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
	)
	for _, row := range []struct {
		name, mounts, groups string
		limits               map[string]string
		want                 int64
	}{
		{"version 1", v1, "9:cpu:/x\n8:memory:/a/b\n", map[string]string{"memory/a/b/memory.limit_in_bytes": "419430400\n", "memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, 400 << 20},
		{"version 1, parent is tighter", v1, "8:memory:/a/b\n", map[string]string{"memory/a/b/memory.limit_in_bytes": "419430400", "memory/a/memory.limit_in_bytes": "209715200"}, 200 << 20},
		{"version 1, none", v1, "8:memory:/\n", map[string]string{"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"version 1, controllers together", strings.ReplaceAll(v1, "rw,memory", "rw,cpu,memory"), "8:cpu,memory:/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "1048576"}, 1 << 20},
		{"version 1, a container's mount", strings.ReplaceAll(v1, "0:26 /", "0:26 /docker/x"), "8:memory:/docker/x/y\n", map[string]string{"memory/y/memory.limit_in_bytes": "1048576"}, 1 << 20},
		{"version 2", v2, "0::/a/b\n", map[string]string{"unified/a/b/memory.max": "max\n", "unified/a/memory.max": "1073741824\n"}, 1 << 30},
		{"version 2, none", v2, "0::/a\n", map[string]string{"unified/a/memory.max": "max\n"}, 0},
		{"both, limits by version 1", v1 + v2, "8:memory:/a\n0::/a\n", map[string]string{"memory/a/memory.limit_in_bytes": "1048576"}, 1 << 20},
		{"nothing mounted", "22 1 0:1 / / rw - ext4 /dev/vda rw\n", "8:memory:/a\n", nil, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			write("proc/mountinfo", strings.ReplaceAll(row.mounts, "MOUNT", dir))
			write("proc/cgroup", row.groups)
			for name, text := range row.limits {
				write(name, text)
			}
			if got := cgroup(filepath.Join(dir, "proc")); got != row.want {
				t.Errorf("%d bytes, want %d", got, row.want)
			}
		})
	}
}

func TestTotal(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "meminfo"), []byte("MemTotal:       24683520 kB\nMemFree: 1 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := total(dir); got != 24683520<<10 {
		t.Errorf("%d", got)
	}
	if got := total(filepath.Join(dir, "none")); got != 0 {
		t.Errorf("%d of nothing", got)
	}
}

func TestForGo(t *testing.T) {
	for limit, want := range map[int64]int64{100 << 20: 80 << 20, 400 << 20: 336 << 20, 1000 << 20: 900 << 20} {
		if got := forGo(limit); got != want {
			t.Errorf("of %d: %d, want %d", limit, got, want)
		}
	}
}
