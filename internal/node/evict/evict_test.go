package evict

import (
	"testing"
	"time"
)

func TestPressure(t *testing.T) {
	free := map[string]Signals{"memory.available": {Available: 200 << 20, Capacity: 1 << 30}, "nodefs.available": {Available: 11, Capacity: 100}, "pid.available": {Available: 5, Capacity: 100}}
	w, err := New(map[string]string{"memory.available": "100Mi", "nodefs.available": "10%", "pid.available": "10%"}, "/")
	if err != nil {
		t.Fatal(err)
	}
	w.read = func(signal, _ string) (Signals, bool) { s, ok := free[signal]; return s, ok }
	now := time.Unix(0, 0)
	if p := w.Look(now); p != (Pressure{PID: true}) {
		t.Errorf("%+v", p)
	}
	free["memory.available"] = Signals{Available: 99 << 20, Capacity: 1 << 30}
	free["nodefs.available"] = Signals{Available: 9, Capacity: 100}
	free["pid.available"] = Signals{Available: 50, Capacity: 100}
	if p := w.Look(now.Add(time.Minute)); p != (Pressure{Memory: true, Disk: true, PID: true}) {
		t.Errorf("%+v", p)
	}
	free["memory.available"] = Signals{Available: 1 << 30, Capacity: 1 << 30}
	if p := w.Look(now.Add(5*time.Minute + time.Second)); p != (Pressure{Memory: true, Disk: true}) {
		t.Errorf("%+v", p)
	}
	if p := w.Look(now.Add(7 * time.Minute)); p.Memory || !p.Disk {
		t.Errorf("%+v", p)
	}
	for _, bad := range []string{"x", "101%", "-1%"} {
		if _, err := New(map[string]string{"memory.available": bad}, "/"); err == nil {
			t.Errorf("%q was taken", bad)
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
