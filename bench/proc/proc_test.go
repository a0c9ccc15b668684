package proc

import (
	"os"
	"testing"
	"time"
)

func TestCPUBetween(t *testing.T) {
	for _, c := range []struct{ fine, tick, want float64 }{
		{0.0123, 0.01, 0.0123}, // within the clock's step
		{0.0123, 0.03, 0.0123},
		{0.5, 1.0, 1.0}, // threads have ended
		{-0.3, 0.02, 0.02},
		{10.1, 10.0, 10.1}, // within two of a hundred
	} {
		if got := cpuBetween(c.fine, c.tick); got != c.want {
			t.Errorf("cpuBetween(%v, %v) = %v, want %v", c.fine, c.tick, got, c.want)
		}
	}
}

func TestOfThisProcess(t *testing.T) {
	me := os.Getpid()
	if !Alive(me) || Alive(1<<30) {
		t.Error("alive is wrong")
	}
	if RSS(me) < 1 || Anonymous(me) > RSS(me) || PSS(me) < 1 || PSS(me) > RSS(me)+1 || Busy() <= 0 {
		t.Errorf("rss %v, anonymous %v, busy %v", RSS(me), Anonymous(me), Busy())
	}
	set := Set{"me": me}
	before := set.Take()
	for begin := time.Now(); time.Since(begin) < 100*time.Millisecond; {
	}
	if used := set.Since(before); used.CPU <= 0 || used.CPU > 10 {
		t.Errorf("a tenth of a second's work is %v s of CPU", used.CPU)
	}
}

func TestSetIsAFlag(t *testing.T) {
	s := Set{}
	if err := s.Set("etcd=12"); err != nil || s["etcd"] != 12 {
		t.Errorf("%v %v", s, err)
	}
	if s.Set("etcd") == nil || s.Set("etcd=x") == nil {
		t.Error("nonsense is taken")
	}
}
