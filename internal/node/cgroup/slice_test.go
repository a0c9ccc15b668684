package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	systemd "github.com/coreos/go-systemd/v22/dbus"
)

// fakeUnits is a systemd that keeps what it is asked. Below dir it makes a slice's folder as the kernel would.
type fakeUnits struct {
	dir     string
	started []string
	stopped []string
	now     map[string]any // "SLICE PROPERTY": value
	broken  error
}

func (f *fakeUnits) Start(name string, properties []systemd.Property) error {
	if f.broken != nil {
		return f.broken
	}
	f.started = append(f.started, name)
	path, prefix := f.dir, ""
	for _, part := range strings.Split(strings.TrimSuffix(name, ".slice"), "-") {
		path = filepath.Join(path, prefix+part+".slice")
		prefix += part + "-"
	}
	for name, text := range map[string]string{"cgroup.controllers": "cpu memory pids", "cgroup.subtree_control": ""} {
		if err := errors.Join(os.MkdirAll(path, 0o755), os.WriteFile(filepath.Join(path, name), []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return f.Set(name, properties)
}

func (f *fakeUnits) Set(name string, properties []systemd.Property) error {
	for _, p := range properties {
		if f.now == nil {
			f.now = map[string]any{}
		}
		f.now[name+" "+p.Name] = p.Value.Value()
	}
	return f.broken
}

func (f *fakeUnits) Stop(name string) error {
	f.stopped = append(f.stopped, name)
	return f.broken
}

// TestSlices makes and limits a pod's group through systemd: each slice once, the outer before the inner, and every limit both told and
// written.
func TestSlices(t *testing.T) {
	dir, m := unifiedTree(t)
	f := &fakeUnits{dir: dir}
	m.over(f)
	p := Pod{UID: "a-b", Class: Burstable, CPURequestMilli: 1000, CPULimitMilli: 1505, MemoryLimit: 64 << 20, Pids: 100, MemoryLow: 2 << 20}
	for range 2 {
		if err := m.Ensure(p); err != nil {
			t.Fatal(err)
		}
	}
	const pod = "kubepods-burstable-poda_b.slice"
	if want := []string{"kubepods.slice", "kubepods-burstable.slice", pod}; !reflect.DeepEqual(f.started, want) {
		t.Errorf("started %v, want %v", f.started, want)
	}
	for key, want := range map[string]any{
		"kubepods.slice Wants": []string{"-.slice"}, pod + " Wants": []string{"kubepods-burstable.slice"}, pod + " MemoryAccounting": true,
		pod + " CPUWeight": uint64(100), pod + " CPUQuotaPerSecUSec": uint64(1_510_000), pod + " CPUQuotaPeriodUSec": uint64(100_000),
		pod + " MemoryMax": uint64(64 << 20), pod + " TasksMax": uint64(100), pod + " MemoryMin": uint64(0), pod + " MemoryLow": uint64(2 << 20),
	} {
		if got := f.now[key]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	group := filepath.Join(dir, m.Path(p))
	for file, want := range map[string]string{"cpu.max": "151000 100000", "memory.max": "67108864", "pids.max": "100", "memory.low": "2097152"} {
		if b, err := os.ReadFile(filepath.Join(group, file)); err != nil || string(b) != want {
			t.Errorf("%s is %q (%v), want %q", file, b, err, want)
		}
	}
	if err := errors.Join(m.SetMemory(p, 0), m.SetQuota(p, 0), m.Balance(Sums{CPU: 2000, Burstable: 20})); err != nil {
		t.Error(err)
	}
	for key, want := range map[string]any{
		pod + " MemoryMax": uint64(infinity), pod + " CPUQuotaPerSecUSec": uint64(infinity),
		"kubepods-burstable.slice CPUWeight": Weight(2048), "kubepods-burstable.slice MemoryLow": uint64(20), "kubepods.slice MemoryLow": uint64(20),
	} {
		if got := f.now[key]; got != want {
			t.Errorf("afterwards %s is %v, want %v", key, got, want)
		}
	}
	if pods := m.Pods(); len(pods) != 1 || pods[0].UID != "a-b" || pods[0].Class != Burstable {
		t.Errorf("pods are %+v", pods)
	}
}

// TestSlicesRefused has systemd's refusals reach who asked.
func TestSlicesRefused(t *testing.T) {
	dir, m := unifiedTree(t)
	m.over(&fakeUnits{dir: dir, broken: fmt.Errorf("no bus")})
	if err := m.Ensure(Pod{UID: "u"}); err == nil || err.Error() != "no bus" {
		t.Errorf("a pod's group without systemd: %v", err)
	}
}

// TestWithoutSystemd refuses the driver where systemd does not run.
func TestWithoutSystemd(t *testing.T) {
	if booted(filepath.Join(t.TempDir(), "system")) {
		t.Error("systemd runs without a trace")
	}
	_, err := New(t.TempDir(), "/", Systemd, false)
	if runs := booted(bootedDir); runs != (err == nil) {
		t.Errorf("systemd runs: %t; the driver: %v", runs, err)
	}
}
