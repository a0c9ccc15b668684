package device

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sampan.dev/internal/control/scheduler/plugin"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// Reserve implements plugin.Reserve.
func (r *Resources) Reserve(pod *plugin.Pod, node *plugin.Node) error {
	if !pod.Devices || r.now == nil || r.now.pod != pod.UID {
		return nil
	}
	a := r.now
	r.now = nil
	results, ok := a.found[node.Name]
	if a.open > 0 && !ok {
		return errors.New("claim allocation not found for node")
	}
	if len(results) != a.open {
		return fmt.Errorf("internal error, have %d allocations, want %d claims", len(results), a.open)
	}
	a.found = nil
	r.mu.Lock()
	r.mu.reserved[pod.UID] = a
	r.mu.Unlock()
	for i := range a.claims {
		c := &a.claims[i]
		if c.Status.Allocation != nil {
			continue
		}
		c.gets, results = &results[0], results[1:]
		decided := c.DeepCopy()
		decided.Status.Allocation = c.gets
		r.see.Account.decided(decided)
	}
	return nil
}

// Unreserve implements plugin.Reserve. A claim that has its devices keeps them for the next attempt, but is not reserved for the pod.
func (r *Resources) Unreserve(pod *plugin.Pod, _ string) {
	if !pod.Devices {
		return
	}
	a := r.take(pod.UID)
	if a == nil {
		return
	}
	for i := range a.claims {
		c := &a.claims[i]
		if c.gets != nil {
			r.see.Account.settled(c.UID)
		}
		if c.Status.Allocation == nil || !resourceclaim.IsReservedForPod(pod.Pod, c.ResourceClaim, false) {
			continue
		}
		patch := fmt.Sprintf(`{"metadata": {"uid": %q}, "status": {"reservedFor": [{"$patch": "delete", "uid": %q}]}}`, c.UID, pod.UID)
		// When this fails the next attempt of the pod finds the claim reserved for it, and goes on from there.
		r.see.Later(func(ctx context.Context) { _ = r.see.PatchStatus(ctx, c.Namespace, c.Name, []byte(patch)) })
	}
}

// take ends a pod's attempt and returns it.
func (r *Resources) take(uid types.UID) *attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.mu.reserved[uid]
	delete(r.mu.reserved, uid)
	return a
}

// PostFilter implements plugin.PostFilter: where no node fits because of where a claim's devices are, and nobody else uses the claim, it
// gives the devices back.
func (r *Resources) PostFilter(pod *plugin.Pod, _ []*plugin.Node, _ plugin.Without) plugin.Nomination {
	if !pod.Devices || r.now == nil || r.now.pod != pod.UID {
		return plugin.Nomination{}
	}
	for i := range r.now.unavailable { // any will do
		c := r.now.claims[i].ResourceClaim
		if slices.ContainsFunc(c.Status.ReservedFor, func(u resourcev1.ResourceClaimConsumerReference) bool { return u.UID != pod.UID }) {
			continue
		}
		c = c.DeepCopy()
		c.Status = resourcev1.ResourceClaimStatus{}
		return plugin.Nomination{Message: "deallocation of ResourceClaim completed", Evict: func(ctx context.Context) error {
			written, err := r.see.UpdateStatus(ctx, c)
			if err == nil {
				r.see.Account.wrote(written)
			}
			return err
		}}
	}
	return plugin.Nomination{}
}
