package fence

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A node that renews ends nothing; one that has not renewed for so long does, counted from when the last renewal was sent, not from when
// it was answered; and one that is back stops.
func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		booted := time.Now().Add(-time.Hour)
		var ended atomic.Int32
		f := &Fence{After: 45 * time.Second, Now: func() time.Duration { return time.Since(booted) }, End: func(context.Context) { ended.Add(1) }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { f.Run(ctx); close(done) }()
		for range 30 {
			acknowledged := f.Begin()
			time.Sleep(5 * time.Second)
			acknowledged()
			time.Sleep(5 * time.Second)
		}
		if n := ended.Load(); n != 0 {
			t.Errorf("ended %d times while all is well", n)
		}
		f.Begin() // not acknowledged
		time.Sleep(34500 * time.Millisecond)
		if ended.Load() != 0 {
			t.Error("too early")
		}
		time.Sleep(time.Second)
		if n := ended.Load(); n != 1 {
			t.Errorf("ended %d times 45 s after the last renewal was sent", n)
		}
		f.Begin()()
		ended.Store(0)
		time.Sleep(30 * time.Second)
		if ended.Load() != 0 {
			t.Error("still cut off")
		}
		cancel()
		<-done
	})
}

// A kubelet that is started anew goes on where the one before it was, and after a reboot counts anew.
func TestEarlier(t *testing.T) {
	file := filepath.Join(t.TempDir(), "last")
	now := 100 * time.Second
	clock := func() time.Duration { return now }
	(&Fence{File: file, Now: clock}).Begin()()
	now = 130 * time.Second
	if got := (&Fence{File: file, Now: clock}).earlier(); got != 100*time.Second {
		t.Errorf("%v", got)
	}
	now = 20 * time.Second
	if got := (&Fence{File: file, Now: clock}).earlier(); got != now {
		t.Errorf("after a reboot: %v", got)
	}
	if got := (&Fence{File: file + ".none", Now: clock}).earlier(); got != now {
		t.Errorf("the first kubelet: %v", got)
	}
	if got := (&Fence{}).now(); got <= 0 {
		t.Errorf("the machine's clock says %v", got)
	}
}

func TestTimes(t *testing.T) {
	after, promise := Times(40 * time.Second)
	if after != 45*time.Second || promise != time.Minute || promise-after < Grace {
		t.Error(after, promise)
	}
}
