package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/daemon"

	corev1 "k8s.io/api/core/v1"
)

// Readiness is what a node says of itself while somebody waits for it.
type Readiness struct {
	node  string
	ready chan struct{}                        // closed once it says that it is Ready
	last  atomic.Pointer[corev1.NodeCondition] // its Ready condition
	seen  atomic.Bool                          // there is a Node at all
}

// WhenReady watches the named node. What an earlier run has said before since does not count.
func WhenReady(nodes *cache.Informer[*corev1.Node], name string, since time.Time) *Readiness {
	r := &Readiness{node: name, ready: make(chan struct{})}
	since = since.Truncate(time.Second) // as heartbeats are
	done := false
	look := func(n *corev1.Node) {
		if n.Name != name || done {
			return
		}
		r.seen.Store(true)
		for _, c := range n.Status.Conditions {
			if c.Type != corev1.NodeReady || c.LastHeartbeatTime.Time.Before(since) {
				continue
			}
			r.last.Store(&c)
			if c.Status == corev1.ConditionTrue {
				done = true
				close(r.ready)
			}
		}
	}
	nodes.Handle(cache.Handler[*corev1.Node]{Add: look, Update: func(_, n *corev1.Node) { look(n) }})
	return r
}

// Within waits until the node is Ready, or says why it is not. A node that is known from before and cannot say that it is Ready,
// because the store takes no values for the while that patience is, counts as ready: said is why, and it works all the same. mute
// tells of the store; nil where nobody here knows.
func (r *Readiness) Within(g *daemon.Group, limit time.Duration, mute func() error) (said error, err error) {
	ctx, end := context.WithTimeoutCause(g.Context(), limit, fmt.Errorf("not within %v", limit))
	defer end()
	look := time.NewTicker(time.Second)
	defer look.Stop()
	silent := func() error {
		if mute == nil || !r.seen.Load() {
			return nil
		}
		return mute()
	}
	for times := 0; ; {
		select {
		case <-r.ready:
			return nil, nil
		case <-ctx.Done():
			err = fmt.Errorf("node %s Ready: %w", r.node, context.Cause(ctx))
			if g.Context().Err() == nil {
				err = fmt.Errorf("%w: %s", err, r.why())
			}
			return nil, err
		case <-look.C:
		}
		if said = silent(); said == nil {
			times = 0
		} else if times++; times > patience {
			return said, nil
		}
	}
}

// patience is for how many seconds a store may take no values before nobody waits for what a node would write.
const patience = 5

func (r *Readiness) why() string {
	c := r.last.Load()
	switch {
	case c != nil:
		return fmt.Sprintf("its condition Ready is %s, %s: %s", c.Status, c.Reason, c.Message)
	case r.seen.Load():
		return "its kubelet has not said anything of it; the log says what it does"
	}
	return "its kubelet has not registered it; the log says why"
}
