package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
)

// Group is a set of running parts. Parts may be added while it runs. Make one with NewGroup. Each part belongs to the goroutine that
// keeps it; mu guards the list of parts, which only grows.
type Group struct {
	ctx    context.Context // the life of the group; handed to every part
	cancel context.CancelCauseFunc
	log    *slog.Logger
	wg     sync.WaitGroup

	mu struct {
		sync.Mutex
		settled bool
		parts   []*part
		watch   func() // see OnChange; nil: nobody asks
	}
}

// NewGroup makes a group whose parts live until parent ends or, before it has settled, one of them fails.
func NewGroup(parent context.Context, log *slog.Logger) *Group {
	ctx, cancel := context.WithCancelCause(parent)
	return &Group{ctx: ctx, cancel: cancel, log: log.With("component", "daemon")}
}

// Context ends when the group is told to stop.
func (g *Group) Context() context.Context { return g.ctx }

// Go runs a part. It has failed when it returns before the group was told to stop, with an error or without, and when it
// panics. Since a part that fails is run again, run makes what it works with anew each time, or leaves it as good as new.
func (g *Group) Go(name string, run func(ctx context.Context) error) {
	p := &part{name: name}
	g.mu.Lock()
	g.mu.parts = append(g.mu.parts, p)
	g.mu.Unlock()
	g.wg.Go(func() { g.keep(p, run) })
}

// Settle says that all that was asked for is up: from now on a part that fails is started again instead of ending the group.
func (g *Group) Settle() {
	g.mu.Lock()
	g.mu.settled = true
	g.mu.Unlock()
	g.changed()
}

func (g *Group) settled() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.settled
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

// Check says which parts are down, or have been a moment ago, and why; nil when all have been running for a while. It is a
// health check.
func (g *Group) Check(context.Context) error {
	g.mu.Lock()
	parts := g.mu.parts[:len(g.mu.parts):len(g.mu.parts)]
	g.mu.Unlock()
	var errs []error
	for _, p := range parts {
		if err := p.trouble(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return joined(errs)
}

// joined is errors.Join on one line.
func joined(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	all := errs[0]
	for _, err := range errs[1:] {
		all = fmt.Errorf("%w; %w", all, err)
	}
	return all
}
