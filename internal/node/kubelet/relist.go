package kubelet

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Events tell what happens to containers, but a stream of them may hang or lose some and nobody would know. So the runtime is listed now
// and then; upstream's numbers for a kubelet that lives by events (pkg/kubelet/kubelet.go, eventedPlegRelist…).
const (
	relistEvery = 5 * time.Minute
	relistLimit = 10 * time.Minute // without a listing for so long the node is not ready
)

// relist lists the runtime when that is due and wakes the workers of pods that are not as they were the last time. One that has
// heard of it already looks once more for nothing.
func (k *Kubelet) relist(ctx context.Context, now time.Time) {
	if at := k.health.listed(); !at.IsZero() && now.Sub(at) < relistEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	pods, err := k.rt.List(ctx)
	if err != nil {
		return
	}
	k.health.list(now)
	first, seen := k.listing == nil, map[types.UID]string{}
	for _, p := range pods {
		seen[p.UID] = p.Fingerprint()
		if !first && k.listing[p.UID] != seen[p.UID] {
			k.wake(p.UID)
		}
	}
	for uid := range k.listing {
		if _, there := seen[uid]; !there {
			k.wake(uid)
		}
	}
	k.listing = seen
}
