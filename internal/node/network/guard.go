package network

import (
	"context"
	"sync"
	"time"
)

// guardRules makes the table anew when somebody else removes it or something in it.
func (n *Network) guardRules(ctx context.Context) {
	lost := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		err := n.rules.watch.Run(ctx, func() {
			select {
			case lost <- struct{}{}:
			default:
			}
		})
		if err != nil {
			n.log.Error("cannot see what others do to the rules of pods", "err", err)
		}
	})
	for {
		select {
		case <-ctx.Done():
			return
		case <-lost:
		}
		n.log.Warn("somebody removed the rules of pods; making them anew")
		if err := n.rules.repair(); err != nil {
			n.log.Error("cannot make the rules of pods", "err", err)
			select {
			case lost <- struct{}{}:
			default:
			}
		}
		select { // who breaks it again and again shall not keep this machine busy
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
	}
}
