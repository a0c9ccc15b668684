package volume

import (
	"fmt"
	"slices"

	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
)

const (
	diskInUse  = "node(s) had no available disk"
	claimInUse = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod"
)

// Restrictions is VolumeRestrictions: a claim of mode ReadWriteOncePod is for one pod, and some disks that pods name themselves are
// for one pod of a node. Its index counts the pods on nodes by the claims that they name. Make one with NewRestrictions.
type Restrictions struct {
	fits
	users  // those that name disks
	see    *Storage
	claims map[string]int // pods on nodes, by namespace and name of a claim
}

// NewRestrictions makes the plugin VolumeRestrictions.
func NewRestrictions(see *Storage) *Restrictions {
	return &Restrictions{see: see, claims: map[string]int{}}
}

// Name implements plugin.Plugin.
func (*Restrictions) Name() string { return "VolumeRestrictions" }

// PreFilter implements plugin.PreFilter.
func (r *Restrictions) PreFilter(pod *plugin.Pod) plugin.Verdict {
	if !pod.Claimed {
		return plugin.Verdict{}
	}
	for i := range pod.Spec.Volumes {
		if c := pod.Spec.Volumes[i].PersistentVolumeClaim; c != nil {
			if _, ok := r.see.Claim(pod.Namespace, c.ClaimName); !ok {
				return plugin.Unresolvable(fmt.Sprintf("persistentvolumeclaim %q not found", c.ClaimName))
			}
		}
	}
	return plugin.Verdict{}
}

// Filter implements plugin.Filter.
func (r *Restrictions) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	if pod.Disks {
		for _, other := range r.on[node.Name] {
			if conflict(pod, other) {
				return plugin.Unschedulable(diskInUse)
			}
		}
	}
	if !pod.Claimed {
		return plugin.Verdict{}
	}
	for i := range pod.Spec.Volumes {
		c := pod.Spec.Volumes[i].PersistentVolumeClaim
		if c == nil || r.claims[pod.Namespace+"/"+c.ClaimName] == 0 {
			continue
		}
		if claim, ok := r.see.Claim(pod.Namespace, c.ClaimName); ok && slices.Contains(claim.Spec.AccessModes, corev1.ReadWriteOncePod) {
			return plugin.Unschedulable(claimInUse)
		}
	}
	return plugin.Verdict{}
}

// Pod implements plugin.Index.
func (r *Restrictions) Pod(pod *plugin.Pod, node *plugin.Node, sign int) {
	if pod.Disks {
		r.put(pod, node.Name, sign)
	}
	if !pod.Claimed {
		return
	}
	for i := range pod.Spec.Volumes {
		if c := pod.Spec.Volumes[i].PersistentVolumeClaim; c != nil {
			key := pod.Namespace + "/" + c.ClaimName
			if r.claims[key] += sign; r.claims[key] <= 0 {
				delete(r.claims, key)
			}
		}
	}
}

// Events implements plugin.Rejecting.
func (*Restrictions) Events() plugin.Event {
	return plugin.NodeAdded | plugin.PodLeft | plugin.StorageChanged
}

// Helps implements plugin.Rejecting.
func (*Restrictions) Helps(pod *plugin.Pod, c plugin.Change) bool {
	switch c.Event {
	case plugin.NodeAdded:
		return true
	case plugin.StorageChanged:
		now, ok := c.Object.(*corev1.PersistentVolumeClaim)
		return ok && c.Previous == nil && has(pod, now)
	}
	if c.Pod == nil || c.Pod.Namespace != pod.Namespace {
		return false
	}
	return conflict(pod, c.Pod) || slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		return v.PersistentVolumeClaim != nil && slices.ContainsFunc(c.Pod.Spec.Volumes, func(o corev1.Volume) bool {
			return o.PersistentVolumeClaim != nil && o.PersistentVolumeClaim.ClaimName == v.PersistentVolumeClaim.ClaimName
		})
	})
}

// conflict reports whether two pods name a disk that a node can have only once.
func conflict(a, b *plugin.Pod) bool {
	for i := range a.Spec.Volumes {
		for j := range b.Spec.Volumes {
			if sameDisk(&a.Spec.Volumes[i], &b.Spec.Volumes[j]) {
				return true
			}
		}
	}
	return false
}

func sameDisk(a, b *corev1.Volume) bool {
	switch {
	case a.GCEPersistentDisk != nil && b.GCEPersistentDisk != nil:
		x, y := a.GCEPersistentDisk, b.GCEPersistentDisk
		return x.PDName == y.PDName && !(x.ReadOnly && y.ReadOnly)
	case a.AWSElasticBlockStore != nil && b.AWSElasticBlockStore != nil:
		return a.AWSElasticBlockStore.VolumeID == b.AWSElasticBlockStore.VolumeID
	case a.ISCSI != nil && b.ISCSI != nil:
		return a.ISCSI.IQN == b.ISCSI.IQN && !(a.ISCSI.ReadOnly && b.ISCSI.ReadOnly)
	case a.RBD != nil && b.RBD != nil:
		x, y := a.RBD, b.RBD
		shared := slices.ContainsFunc(x.CephMonitors, func(m string) bool { return slices.Contains(y.CephMonitors, m) })
		return shared && x.RBDPool == y.RBDPool && x.RBDImage == y.RBDImage && !(x.ReadOnly && y.ReadOnly)
	}
	return false
}
