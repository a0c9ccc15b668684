package replay

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// claim takes a version of a claim of devices: no device may be allocated to two claims.
func (c *Cluster) claim(k *resourcev1.ResourceClaim, gone bool) {
	key := k.Namespace + "/" + k.Name
	for _, d := range allocated(c.claims[key]) {
		delete(c.devices, d)
	}
	if delete(c.claims, key); gone {
		return
	}
	c.claims[key] = k
	for _, d := range allocated(k) {
		if other, taken := c.devices[d]; taken && other != k.UID {
			c.fault("device %v is allocated to claim %s and to another", d, k.Name)
		}
		c.devices[d] = k.UID
	}
}

// allocated returns the devices that a claim has for itself.
func allocated(k *resourcev1.ResourceClaim) []device {
	if k == nil || k.Status.Allocation == nil {
		return nil
	}
	var out []device
	for _, r := range k.Status.Allocation.Devices.Results {
		if r.AdminAccess == nil || !*r.AdminAccess {
			out = append(out, device{r.Driver, r.Pool, r.Device})
		}
	}
	return out
}

// claimNames are the claims of a pod that have a name already.
func claimNames(p *corev1.Pod) []string {
	var out []string
	for _, ref := range p.Spec.ResourceClaims {
		if ref.ResourceClaimName != nil {
			out = append(out, *ref.ResourceClaimName)
		}
	}
	for _, s := range p.Status.ResourceClaimStatuses {
		if s.ResourceClaimName != nil {
			out = append(out, *s.ResourceClaimName)
		}
	}
	return out
}

// has judges whether a pod that is bound has its claim: allocated, reserved for it, and on a node where the devices are.
func (c *Cluster) has(p *corev1.Pod, k *resourcev1.ResourceClaim, name string, n *node) {
	switch {
	case k == nil || k.Status.Allocation == nil:
		c.fault("pod %s is bound without its claim %s", p.Name, name)
	case !slices.ContainsFunc(k.Status.ReservedFor, func(r resourcev1.ResourceClaimConsumerReference) bool { return r.UID == p.UID }):
		c.fault("pod %s is bound, and its claim %s is not reserved for it", p.Name, name)
	case n.object != nil && k.Status.Allocation.NodeSelector != nil:
		selector, err := nodeaffinity.NewNodeSelector(k.Status.Allocation.NodeSelector)
		if err != nil || !selector.Match(n.object) {
			c.fault("pod %s is bound to %s, and its devices are elsewhere", p.Name, p.Spec.NodeName)
		}
	}
}
