package network

import (
	"context"
	"sync"
	"time"
)

// guardRules makes the table anew when somebody else removes it or something in it, and keeps the packet filters of others
// from dropping what pods send, whenever those change.
func (n *Network) guardRules(ctx context.Context) {
	lost := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	n.rules.watch.Foreign(notForeign, func() { signal(n.filters) })
	wg.Go(func() {
		err := n.rules.watch.Run(ctx, func() { signal(lost) })
		if err != nil {
			n.log.Error("cannot see what others do to the rules of pods", "err", err)
		}
	})
	f := &filters{n: n, ctx: ctx, wg: &wg}
	for {
		var again <-chan time.Time
		if f.blocked {
			again = time.After(n.lookAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-n.filters:
			f.open()
			f.tellUnreached()
		case <-again: // the kernel says nothing of a table that goes with its owner
			f.open()
		case <-lost:
			n.log.Warn("somebody removed the rules of pods; making them anew")
			if err := n.rules.repair(); err != nil {
				n.log.Error("cannot make the rules of pods", "err", err)
				signal(lost)
			}
		}
		select { // who breaks it again and again shall not keep this machine busy
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}

// signal says that there is something to do, unless that is known already.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
