package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Group is a set of running parts. Parts may be added while it runs. Make one with NewGroup.
type Group struct {
	ctx    context.Context // the life of the group; handed to every part
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

// NewGroup makes a group whose parts live until parent ends or one of them fails.
func NewGroup(parent context.Context) *Group {
	ctx, cancel := context.WithCancelCause(parent)
	return &Group{ctx: ctx, cancel: cancel}
}

// Context ends when the group is told to stop.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs a part. An error from it, or its return before the group was told to stop, stops the group.
func (g *Group) Go(name string, run func(ctx context.Context) error) {
	g.wg.Add(1)
	go func() {
		defer g.wg.Done()
		err := run(g.ctx)
		switch {
		case g.ctx.Err() != nil:
			return // told to stop; what it says now is an echo of that
		case err == nil:
			g.cancel(fmt.Errorf("%s: ended by itself", name))
		default:
			g.cancel(fmt.Errorf("%s: %w", name, err))
		}
	}()
}

// Stop tells every part to stop.
func (g *Group) Stop() { g.cancel(context.Canceled) }

// Wait blocks until every part has returned and says why the group stopped: nil when its parent ended or Stop was called.
func (g *Group) Wait() error {
	<-g.ctx.Done()
	g.wg.Wait()
	if err := context.Cause(g.ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
