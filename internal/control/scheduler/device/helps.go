package device

import (
	"slices"

	"sampan.dev/internal/api/devices"
	"sampan.dev/internal/control/scheduler/plugin"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// Events implements plugin.Rejecting.
func (*Resources) Events() plugin.Event {
	return plugin.NodeAdded | plugin.NodeLabel | plugin.NodeAllocatable | plugin.DevicesChanged | plugin.ClaimsNamed
}

// Helps implements plugin.Rejecting.
func (r *Resources) Helps(pod *plugin.Pod, c plugin.Change) bool {
	switch {
	case c.Event&plugin.ClaimsNamed != 0:
		_, err := r.claims(pod.Pod)
		return err == nil
	case c.Event&plugin.DevicesChanged == 0:
		return true
	}
	switch now := c.Object.(type) {
	case *resourcev1.ResourceClaim:
		was, _ := c.Previous.(*resourcev1.ResourceClaim)
		return r.claimHelps(pod, was, now)
	case *resourcev1.DeviceClass, *resourcev1.ResourceSlice, *resourcev1.DeviceTaintRule:
		return true
	}
	switch was := c.Previous.(type) { // it has gone
	case *resourcev1.ResourceClaim:
		return was.Status.Allocation != nil
	case *resourcev1.DeviceTaintRule:
		return true
	}
	return false
}

// claimHelps says whether a change of a claim can help a pod: one that gives devices back helps all.
func (r *Resources) claimHelps(pod *plugin.Pod, was, now *resourcev1.ResourceClaim) bool {
	if _, err := r.claims(pod.Pod); err != nil {
		return false // it waits for claims first
	}
	if was != nil && was.Status.Allocation != nil && now.Status.Allocation == nil {
		return true
	}
	return slices.Contains(devices.Names(pod.Pod), now.Name) && now.Namespace == pod.Namespace &&
		(was == nil || !equality.Semantic.DeepEqual(was.Status, now.Status))
}
