package evict

import (
	"strings"
	"testing"
	"time"
)

func settings(hard string) Settings {
	s := Settings{Hard: map[string]string{}}
	for _, item := range strings.Fields(hard) {
		signal, amount, _ := strings.Cut(item, "<")
		s.Hard[signal] = amount
	}
	return s
}

func TestPressure(t *testing.T) {
	free := Observed{"memory.available": {Available: 200 << 20, Capacity: 1 << 30}, "nodefs.available": {Available: 11, Capacity: 100}, "pid.available": {Available: 5, Capacity: 100}}
	s := settings("memory.available<100Mi nodefs.available<10% pid.available<10%")
	thresholds, err := s.Thresholds()
	if err != nil {
		t.Fatal(err)
	}
	w := NewState(thresholds, hold)
	look := func(now time.Time) Pressure { _, p := w.Look(now, free); return p }
	now := time.Unix(0, 0)
	if p := look(now); p != (Pressure{PID: true}) {
		t.Errorf("%+v", p)
	}
	free["memory.available"] = Signals{Available: 99 << 20, Capacity: 1 << 30}
	free["nodefs.available"] = Signals{Available: 9, Capacity: 100}
	free["pid.available"] = Signals{Available: 50, Capacity: 100}
	if p := look(now.Add(time.Minute)); p != (Pressure{Memory: true, Disk: true, PID: true}) {
		t.Errorf("%+v", p)
	}
	free["memory.available"] = Signals{Available: 1 << 30, Capacity: 1 << 30}
	if p := look(now.Add(5*time.Minute + time.Second)); p != (Pressure{Memory: true, Disk: true}) {
		t.Errorf("%+v", p)
	}
	if p := look(now.Add(7 * time.Minute)); p.Memory || !p.Disk {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"x", "101%", "-1%", "0", "-5Mi"} {
		s := settings("memory.available<" + bad)
		if _, err := s.Thresholds(); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestThresholds(t *testing.T) {
	for _, c := range []struct {
		s    Settings
		want string // signal=grace+reclaim, or the error
	}{
		{settings("memory.available<100Mi"), "memory.available allocatableMemory.available"},
		{settings("nodefs.available<0% imagefs.available<100%"), ""},
		{settings("gpu.available<1"), "unsupported eviction signal gpu.available"},
		{Settings{Soft: map[string]string{"nodefs.available": "20%"}}, "grace period must be specified for the soft eviction threshold nodefs.available"},
		{Settings{Soft: map[string]string{"nodefs.available": "20%"}, Grace: map[string]string{"nodefs.available": "2m"}}, "nodefs.available/2m0s"},
		{Settings{Grace: map[string]string{"nodefs.available": "-2m"}}, "invalid eviction grace period specified: -2m, must be a positive value"},
		{Settings{Reclaim: map[string]string{"nodefs.available": "-1Mi"}}, "negative eviction minimum reclaim specified for nodefs.available"},
		{Settings{Reclaim: map[string]string{"nodefs.available": "0%"}}, "eviction percentage minimum reclaim nodefs.available must be positive: 0%"},
	} {
		list, err := c.s.Thresholds()
		var got []string
		for _, th := range list {
			text := th.Signal
			if th.Grace > 0 {
				text += "/" + th.Grace.String()
			}
			got = append(got, text)
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != c.want {
			t.Errorf("%+v: %q, want %q", c.s, text, c.want)
		}
	}
}

// A soft threshold acts once it has been crossed for its grace; one with an amount to reclaim stays crossed until that is there too.
func TestSoftAndReclaim(t *testing.T) {
	s := Settings{Soft: map[string]string{"nodefs.available": "20%"}, Grace: map[string]string{"nodefs.available": "1m"}, Hard: map[string]string{"pid.available": "10"},
		Reclaim: map[string]string{"pid.available": "5"}}
	thresholds, err := s.Thresholds()
	if err != nil {
		t.Fatal(err)
	}
	w, now := NewState(thresholds, hold), time.Unix(0, 0)
	for _, c := range []struct {
		after     int // seconds
		disk, pid int64
		want      string
	}{
		{0, 10, 50, ""}, {30, 10, 50, ""}, {60, 10, 50, "nodefs.available"}, {70, 30, 50, ""}, {80, 10, 50, ""},
		{100, 30, 9, "pid.available"}, {110, 30, 14, "pid.available"}, {120, 30, 15, ""}, {130, 30, 14, ""},
	} {
		seen := Observed{NodeFSAvailable: {c.disk, 100}, PIDAvailable: {c.pid, 100}}
		met, _ := w.Look(now.Add(time.Duration(c.after)*time.Second), seen)
		var got []string
		for _, m := range met {
			got = append(got, m.Signal)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("after %d s: %v, want %q", c.after, got, c.want)
		}
		if w.Relieved(seen) != (c.disk >= 20 && c.pid >= 15) {
			t.Errorf("after %d s: relieved %t", c.after, w.Relieved(seen))
		}
	}
}

func TestReadsThisMachine(t *testing.T) {
	for _, signal := range []string{"memory.available", "pid.available", "nodefs.available"} {
		if s, ok := Read(signal, "/"); !ok || s.Available <= 0 || s.Capacity < s.Available {
			t.Errorf("%s: %+v %t", signal, s, ok)
		}
	}
}
