package scheduler

import (
	"context"
	"sync"
)

// crew does what talks to the hub, so many things at a time and in the order they came, beside the scheduler's goroutine.
// Its goroutines end when there is nothing to do.
type crew struct {
	size    int
	running sync.WaitGroup
	mu      struct {
		sync.Mutex
		jobs []func()
		busy int
	}
}

func newCrew(size int) *crew { return &crew{size: size} }

// do lets f be done. After the end of ctx what has not been begun is dropped.
func (c *crew) do(ctx context.Context, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.jobs = append(c.mu.jobs, f)
	if c.mu.busy < c.size {
		c.mu.busy++
		c.running.Go(func() { c.work(ctx) })
	}
}

func (c *crew) work(ctx context.Context) {
	for {
		c.mu.Lock()
		if len(c.mu.jobs) == 0 || ctx.Err() != nil {
			c.mu.busy--
			c.mu.Unlock()
			return
		}
		f := c.mu.jobs[0]
		c.mu.jobs[0] = nil
		c.mu.jobs = c.mu.jobs[1:]
		c.mu.Unlock()
		f()
	}
}

// wait returns when all that was begun is done.
func (c *crew) wait() { c.running.Wait() }
