package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// Alive says whether pid is a process that is not a zombie.
func Alive(pid int) bool {
	f := statFields(pid)
	return len(f) > 0 && f[0] != "Z"
}

// CPU returns the user and system seconds that pid has used.
func CPU(pid int) float64 {
	f := statFields(pid)
	if len(f) < 13 {
		return 0
	}
	return (number(f[11]) + number(f[12])) / ticksPerSecond
}

// Scheduled returns the seconds that the threads which pid has now have run, to the nanosecond. What threads used that have ended
// is not in it.
func Scheduled(pid int) float64 {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	sum := 0.0
	for _, file := range files {
		data, _ := os.ReadFile(file)
		first, _, _ := strings.Cut(string(data), " ")
		sum += number(first)
	}
	return sum / 1e9
}

// statFields returns the fields of /proc/PID/stat behind the command, which may hold spaces.
func statFields(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	s := string(data)
	return strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
}

// RSS returns resident mebibytes of pid.
func RSS(pid int) float64 { return mebibytes(fmt.Sprintf("/proc/%d/status", pid), "VmRSS") }

// Anonymous returns resident mebibytes of pid that no file stands behind.
func Anonymous(pid int) float64 { return mebibytes(fmt.Sprintf("/proc/%d/status", pid), "RssAnon") }

// PSS returns resident mebibytes of pid, of pages that several processes share its part only.
func PSS(pid int) float64 { return mebibytes(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss") }

func mebibytes(file, key string) float64 {
	data, _ := os.ReadFile(file)
	for line := range strings.SplitSeq(string(data), "\n") {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				return number(f[0]) / 1024
			}
		}
	}
	return 0
}

// IO returns the bytes that pid caused to be written to the disk, and how many write calls it made.
func IO(pid int) (written, calls float64) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	for line := range strings.SplitSeq(string(data), "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "write_bytes":
			written = number(value)
		case "syscw":
			calls = number(value)
		}
	}
	return written, calls
}

// Busy returns the seconds that all cores of the machine have worked.
func Busy() float64 {
	data, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(data), "\n")
	f := strings.Fields(line)
	sum := 0.0
	for i := 1; i < len(f) && i <= 7; i++ { // guest time is within user time; steal is not ours
		if i != 4 && i != 5 { // idle, waiting for the disk
			sum += number(f[i])
		}
	}
	return sum / ticksPerSecond
}

// Load returns the load average of the last minute.
func Load() float64 {
	data, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(data))
	if len(f) == 0 {
		return 0
	}
	return number(f[0])
}

// WithArgument returns the processes whose command line contains text: shims of a runtime, which are nobody's children, are
// found by the socket that they name.
func WithArgument(text string) []int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var out []int
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(data), text) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil && pid != os.Getpid() {
			out = append(out, pid)
		}
	}
	return out
}

func number(s string) float64 {
	v, _ := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return v
}
