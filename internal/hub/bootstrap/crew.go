package bootstrap

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// parallel writes let the store commit them in groups; a fresh cluster has 210 of them.
const parallel = 32

// crew is the goroutines that write. They are few and live for all writes: the stack that a write needs is grown once in each,
// where a goroutine for each write would grow its own, which is a tenth of what the writes cost.
type crew struct {
	g     *errgroup.Group
	ctx   context.Context
	tasks chan func() error
}

// newCrew returns a crew and the context of its tasks, which ends with the first error.
func newCrew(ctx context.Context) (*crew, context.Context) {
	c := &crew{tasks: make(chan func() error)}
	c.g, c.ctx = errgroup.WithContext(ctx)
	for range parallel {
		c.g.Go(func() error {
			for task := range c.tasks {
				if err := task(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c, c.ctx
}

// Go has task run, when one of the crew is free.
func (c *crew) Go(task func() error) {
	select {
	case c.tasks <- task:
	case <-c.ctx.Done():
	}
}

// Wait returns the first error of the tasks, after all have ended. No task comes after it.
func (c *crew) Wait() error {
	close(c.tasks)
	return c.g.Wait()
}
