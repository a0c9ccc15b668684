package part

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sampan.dev/bench/proc"
)

// What perf can count on a virtual machine: instructions it cannot.
const (
	systemCalls = "raw_syscalls:sys_enter"
	fdatasyncs  = "syscalls:sys_enter_fdatasync"
	fsyncs      = "syscalls:sys_enter_fsync"
)

var countLine = regexp.MustCompile(`(?m)^\s*([\d,]+)\s+(\w+:\w+)`)

// counts has perf count events of the processes during a call. It slows the processes down a little: nothing is timed meanwhile.
func counts(ctx context.Context, set proc.Set, during func() error, events ...string) (map[string]float64, error) {
	var pids []string
	for _, pid := range set {
		pids = append(pids, strconv.Itoa(pid))
	}
	cmd := exec.CommandContext(ctx, "perf", "stat", "-e", strings.Join(events, ","), "-p", strings.Join(pids, ","))
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	err := pause(ctx, 500*time.Millisecond) // until it has attached to every thread
	if err == nil {
		err = during()
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	_ = cmd.Wait() // it says that it was interrupted
	if err != nil {
		return nil, err
	}
	return parseCounts(out.String(), events)
}

func parseCounts(out string, events []string) (map[string]float64, error) {
	got := map[string]float64{}
	for _, m := range countLine.FindAllStringSubmatch(out, -1) {
		v, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
		if err != nil {
			return nil, err
		}
		got[m[2]] = v
	}
	for _, e := range events {
		if _, ok := got[e]; !ok {
			return nil, fmt.Errorf("perf does not count %s here: %s", e, strings.TrimSpace(out))
		}
	}
	return got, nil
}
