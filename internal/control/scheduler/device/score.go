package device

import (
	"sampan.dev/internal/control/scheduler/plugin"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// Score implements plugin.Score: of requests with alternatives, the earlier ones are preferred.
func (r *Resources) Score(pod *plugin.Pod, node *plugin.Node) int64 {
	if !pod.Devices || r.now == nil || r.now.pod != pod.UID {
		return 0
	}
	results, ok := r.now.found[node.Name]
	if !ok || r.now.open == 0 {
		return 0
	}
	var total int64
	for i := range r.now.claims {
		c := r.now.claims[i].ResourceClaim
		a := c.Status.Allocation
		if a == nil {
			a, results = &results[0], results[1:]
		}
		total += rank(c, a)
	}
	return total
}

// rank adds up how early in their lists the alternatives stand that a claim has got.
func rank(c *resourcev1.ResourceClaim, a *resourcev1.AllocationResult) (total int64) {
	got := map[string]bool{}
	for _, d := range a.Devices.Results {
		got[d.Request] = true
	}
	for _, q := range c.Spec.Devices.Requests {
		for i, sub := range q.FirstAvailable {
			if got[resourceclaim.CreateSubRequestRef(q.Name, sub.Name)] {
				total += int64(resourcev1.FirstAvailableDeviceRequestMaxSize - i)
			}
		}
	}
	return total
}

// Normalize implements plugin.Score.
func (*Resources) Normalize(raw, _, most int64) int64 {
	if most <= 0 {
		return raw
	}
	return raw * plugin.MaxScore / most
}
