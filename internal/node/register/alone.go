package register

import (
	"context"
	"time"
)

// Alone takes the place of Run where no hub knows the node. Until ctx ends it keeps up to date what pods depend on: the state of
// the runtime and of its network, what the runtime lists, and the node's addresses. Nothing is registered and nothing is posted.
func (n *Node) Alone(ctx context.Context) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.kick:
		case <-n.moved:
			n.follow()
		case <-t.C:
		}
		if n.cfg.Health.Look(ctx) != nil {
			n.cfg.Health.Relist(ctx, time.Now(), n.cfg.PodChanged)
		}
		t.Reset(n.pause())
	}
}
