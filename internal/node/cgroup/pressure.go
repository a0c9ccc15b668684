package cgroup

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Pressure is how long tasks of a group have waited for something: at least one of them (Some), or all at once (Full).
type Pressure struct{ Some, Full Wait }

// Wait is the share of the time that was spent waiting, in percent over windows of so many seconds, and the whole time.
type Wait struct {
	Avg10, Avg60, Avg300 float64
	Total                time.Duration
}

// pressure reads a file of the kernel's pressure stall information (cpu.pressure, memory.pressure, io.pressure); nil where there is none, as
// in cgroup v1 and on kernels that do not measure it.
func pressure(dir, resource string) *Pressure {
	f, err := os.Open(filepath.Join(dir, resource+".pressure"))
	if err != nil {
		return nil
	}
	defer f.Close()
	p := &Pressure{}
	known := false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		words := strings.Fields(sc.Text())
		if len(words) == 0 {
			continue
		}
		into := &p.Some
		switch words[0] {
		case "some":
		case "full":
			into = &p.Full
		default:
			continue
		}
		known = true
		for _, w := range words[1:] {
			name, value, _ := strings.Cut(w, "=")
			switch name {
			case "avg10":
				into.Avg10, _ = strconv.ParseFloat(value, 64)
			case "avg60":
				into.Avg60, _ = strconv.ParseFloat(value, 64)
			case "avg300":
				into.Avg300, _ = strconv.ParseFloat(value, 64)
			case "total":
				n, _ := strconv.ParseUint(value, 10, 63)
				into.Total = time.Duration(n) * time.Microsecond
			}
		}
	}
	if !known { // the file is there and may not be read: the kernel was told not to measure
		return nil
	}
	return p
}
