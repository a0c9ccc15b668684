package health

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Events tell what happens to containers, but a stream of them may hang or lose some and nobody would know. So the runtime is listed now
// and then; upstream's numbers for a kubelet that lives by events (pkg/kubelet/kubelet.go, eventedPlegRelist…).
const (
	RelistEvery = 5 * time.Minute
	RelistLimit = 10 * time.Minute // without a listing for so long the node is not ready
)

// Relist lists the runtime when that is due and calls changed for the pods that are not as they were the last time. Who has
// heard of it by an event already is called once more for nothing. One goroutine calls Relist.
func (h *Runtime) Relist(ctx context.Context, now time.Time, changed func(uid types.UID)) {
	if at := h.listed(); !at.IsZero() && now.Sub(at) < RelistEvery {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, LookEvery)
	defer cancel()
	pods, err := h.rt.List(ctx)
	if err != nil {
		return
	}
	h.list(now)
	first, seen := h.listing == nil, map[types.UID]string{}
	for _, p := range pods {
		seen[p.UID] = p.Fingerprint()
		if !first && h.listing[p.UID] != seen[p.UID] {
			changed(p.UID)
		}
	}
	for uid := range h.listing {
		if _, there := seen[uid]; !there {
			changed(uid)
		}
	}
	h.listing = seen
}
