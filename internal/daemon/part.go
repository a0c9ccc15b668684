package daemon

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"
)

// A part that fails is started again after about restartFirst, so that a single mishap is hardly noticed, and after twice as
// long each further time up to restartLast, so that one that cannot work does not keep the machine busy. One that has run for
// calm begins at the first wait again.
const (
	restartFirst = 100 * time.Millisecond
	restartLast  = 30 * time.Second
	calm         = 30 * time.Second
)

// part is what is known of one part.
type part struct {
	name string
	mu   struct {
		sync.Mutex
		failed   error     // why it ended last; nil if it never did
		began    time.Time // when it was started last; zero while it waits to be
		ended    time.Time // when it failed last; zero if it never did
		restarts int       // since it was last calm
	}
}

var errEnded = errors.New("ended by itself")

// keep runs a part until the group ends.
func (g *Group) keep(p *part, run func(ctx context.Context) error) {
	for {
		p.starts()
		g.changed()
		err := guarded(g.ctx, run)
		if g.ctx.Err() != nil {
			return // told to stop; what it says now is an echo of that
		}
		if err == nil {
			err = errEnded
		}
		if !g.settled() {
			g.cancel(fmt.Errorf("%s: %w", p.name, err))
			return
		}
		wait := p.ends(err)
		g.changed()
		args := []any{"part", p.name, "error", err, "delay", wait.Round(time.Millisecond).String()}
		if p := (*panicked)(nil); errors.As(err, &p) {
			args = append(args, "stack", string(p.stack))
		}
		g.log.Error("a part failed, starting it again", args...)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-g.ctx.Done():
			t.Stop()
			return
		}
	}
}

// panicked is the failure of a part whose own goroutine panicked. Those that it started besides have no such net: a panic
// there ends the process.
type panicked struct {
	value any
	stack []byte
}

// Error implements error.
func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// guarded calls run and makes an error of a panic.
func guarded(ctx context.Context, run func(ctx context.Context) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicked{v, debug.Stack()}
		}
	}()
	return run(ctx)
}

func (p *part) starts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.began = time.Now()
}

// ends notes why the part ended and returns how long to wait before it is started again.
func (p *part) ends(err error) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.mu.began) >= calm {
		p.mu.restarts = 0
	}
	p.mu.failed, p.mu.began, p.mu.ended = err, time.Time{}, time.Now()
	wait := backoff(p.mu.restarts)
	p.mu.restarts++
	return wait
}

// backoff is the wait before the restart that n others came before, stretched by up to a half of it: parts that fell over the
// same thing should not come back at the same moment.
func backoff(n int) time.Duration {
	wait := restartLast
	if n < 16 {
		wait = min(restartFirst<<n, restartLast)
	}
	return wait + rand.N(wait/2)
}

// trouble says why a part is down, or was until less than calm ago.
func (p *part) trouble() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.mu.failed == nil:
		return nil
	case p.mu.began.IsZero():
		return fmt.Errorf("%w (to be started again; %d failures in a row)", p.mu.failed, p.mu.restarts)
	case time.Since(p.mu.began) < calm:
		return fmt.Errorf("%w (started again %s ago; %d failures in a row)", p.mu.failed, time.Since(p.mu.began).Round(time.Millisecond), p.mu.restarts)
	}
	return nil
}
