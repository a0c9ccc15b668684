package memlimit

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// forGo is how much of a cgroup's memory Go may take. The rest is for what the runtime does not count: the pages of the store's
// file, the kernel's buffers of connections, the program itself; and for what the collector is late for.
func forGo(limit int64) int64 {
	const least = 64 << 20
	return limit - max(limit/10, min(least, limit/5))
}

// Apply has the garbage collector keep the process within the memory of its cgroup, unless the user has set a limit
// (GOMEMLIMIT). It returns how many bytes the process may use altogether: the user's limit, the cgroup's, or else all that
// the machine has; 0 when that cannot be found out.
func Apply() int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		if set := debug.SetMemoryLimit(-1); set < math.MaxInt64 {
			return set
		}
	}
	if limit := cgroup("/proc/self"); limit > 0 {
		debug.SetMemoryLimit(forGo(limit))
		return limit
	}
	return total("/proc")
}

// cgroup is the smallest memory limit, in bytes, of the cgroups that the process of a proc directory is in; 0 for none.
func cgroup(proc string) int64 {
	groups, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return 0
	}
	mounts, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	for _, t := range trees(mounts) {
		at, ok := t.of(groups)
		if !ok {
			continue
		}
		for ; ; at = path.Dir(at) {
			if n, ok := number(filepath.Join(t.mount, at, t.file)); ok {
				least = min(least, n)
			}
			if at == "/" {
				break
			}
		}
	}
	// Version 1 has no word for "none", only a number that no machine has.
	if least >= math.MaxInt64/2 {
		return 0
	}
	return least
}

// tree is a mounted hierarchy of cgroups that limits memory.
type tree struct {
	mount string
	root  string // the cgroup that is mounted there, "/" but in containers
	name  string // of the controller in /proc/self/cgroup: "memory", or "" for version 2
	file  string // that has the limit
}

// trees finds the hierarchies in the lines of mountinfo.
func trees(mountinfo []byte) []tree {
	var out []tree
	for line := range lines(mountinfo) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 {
			continue
		}
		t := tree{root: l[3], mount: l[4]}
		switch {
		case r[0] == "cgroup2":
			t.file = "memory.max"
		case r[0] == "cgroup" && has(r[2], "memory"):
			t.name, t.file = "memory", "memory.limit_in_bytes"
		default:
			continue
		}
		out = append(out, t)
	}
	return out
}

// of finds the process's cgroup below the mount, in the lines of /proc/PID/cgroup: "ID:CONTROLLERS:PATH".
func (t tree) of(groups []byte) (string, bool) {
	for line := range lines(groups) {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) < 3 || parts[1] != t.name && !has(parts[1], t.name) {
			continue
		}
		at := parts[2]
		if t.root != "/" {
			at = strings.TrimPrefix(at, t.root)
		}
		return path.Clean("/" + at), true
	}
	return "", false
}

func has(list, name string) bool {
	if name == "" {
		return list == ""
	}
	for s := range strings.SplitSeq(list, ",") {
		if s == name {
			return true
		}
	}
	return false
}

func lines(data []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
			if !yield(s.Text()) {
				return
			}
		}
	}
}

// number reads a file with one number in it; "max" is none.
func number(file string) (int64, bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
	return n, err == nil && n > 0
}

// total is the machine's memory, in bytes.
func total(proc string) int64 {
	data, err := os.ReadFile(filepath.Join(proc, "meminfo"))
	if err != nil {
		return 0
	}
	for line := range lines(data) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
