package volume

import (
	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
)

const tooMany = "node(s) exceed max volume count"

// Limits is NodeVolumeLimits: a driver says in the node's CSINode how many of its volumes the node takes. Make one with NewLimits.
type Limits struct {
	fits
	users // those with claims
	see   *Storage
	// named counts the volumes that the pods on each node name, of whatever kind: no fewer than those that are attached for them.
	named map[string]int
}

// NewLimits makes the plugin NodeVolumeLimits.
func NewLimits(see *Storage) *Limits { return &Limits{see: see, named: map[string]int{}} }

// Name implements plugin.Plugin.
func (*Limits) Name() string { return "NodeVolumeLimits" }

// Pod implements plugin.Index.
func (l *Limits) Pod(pod *plugin.Pod, node *plugin.Node, sign int) {
	if !pod.Claimed {
		return
	}
	l.put(pod, node.Name, sign)
	if l.named[node.Name] += sign * len(pod.Spec.Volumes); l.named[node.Name] == 0 {
		delete(l.named, node.Name)
	}
}

// Filter implements plugin.Filter.
func (l *Limits) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	if !pod.Claimed {
		return plugin.Verdict{}
	}
	fresh := map[string]string{}
	if err := l.collect(pod, fresh); err != nil {
		return plugin.Unresolvable(err.Error())
	}
	if len(fresh) == 0 {
		return plugin.Verdict{}
	}
	csi, _ := l.see.CSINode(node.Name)
	for _, driver := range fresh {
		if l.missing(driver, csi) {
			return plugin.Unschedulable(driver + " CSI driver is not installed on the node")
		}
	}
	most := limits(csi)
	if len(most) == 0 || l.roomy(node.Name, fresh, most) {
		return plugin.Verdict{}
	}
	return l.count(node.Name, fresh, most)
}

// roomy reports whether a node takes the fresh volumes even if everything that its pods name, and all that is attached, were of their
// driver. Then counting them says the same (TestRoomyNodes), and costs a look at each claim of the node's pods.
func (l *Limits) roomy(node string, fresh map[string]string, most map[string]int64) bool {
	all := int64(l.named[node] + len(l.see.Attachments(node)) + len(fresh))
	for _, driver := range fresh {
		if n, limited := most[driver]; limited && all > n {
			return false
		}
	}
	return true
}

// count judges a node by the volumes that it has of each driver.
func (l *Limits) count(node string, fresh map[string]string, most map[string]int64) plugin.Verdict {
	attached := map[string]string{}
	for _, other := range l.on[node] {
		_ = l.collect(other, attached) // what is not there any more takes no place
	}
	l.attachments(node, attached)
	count := map[string]int64{}
	for _, driver := range attached {
		count[driver]++
	}
	for volume, driver := range fresh {
		if _, there := attached[volume]; !there {
			count[driver]++
		}
	}
	for volume, driver := range fresh {
		_, there := attached[volume]
		if n, limited := most[driver]; limited && !there && count[driver] > n {
			return plugin.Unschedulable(tooMany)
		}
	}
	return plugin.Verdict{}
}

// missing reports whether a node must not have a driver's volumes because the driver is not there, and says that this counts.
func (l *Limits) missing(driver string, csi *storagev1.CSINode) bool {
	d, ok := l.see.Driver(driver)
	if !ok || d.Spec.PreventPodSchedulingIfMissing == nil || !*d.Spec.PreventPodSchedulingIfMissing {
		return false
	}
	if csi != nil {
		for i := range csi.Spec.Drivers {
			if csi.Spec.Drivers[i].Name == driver {
				return false
			}
		}
	}
	return true
}

// collect adds the volumes of drivers that a pod has, with their driver. One that is still to be made counts for its class's provisioner.
func (l *Limits) collect(pod *plugin.Pod, into map[string]string) error {
	for i := range pod.Spec.Volumes {
		name, own := volumes.ClaimOf(pod.Pod, &pod.Spec.Volumes[i])
		if name == "" {
			continue
		}
		claim, ok := l.see.Claim(pod.Namespace, name)
		if !ok {
			continue
		}
		if own {
			if err := volumes.MadeFor(pod.Pod, claim); err != nil {
				return err
			}
		}
		if driver, handle := l.driver(claim); driver != "" && handle != "" {
			into[driver+"/"+handle] = driver
		}
	}
	return nil
}

func (l *Limits) driver(claim *corev1.PersistentVolumeClaim) (driver, handle string) {
	if claim.Spec.VolumeName != "" {
		if pv, ok := l.see.Volume(claim.Spec.VolumeName); ok {
			if pv.Spec.CSI == nil {
				return "", ""
			}
			return pv.Spec.CSI.Driver, pv.Spec.CSI.VolumeHandle
		}
	}
	class, ok := l.see.Class(volumes.Class(claim))
	if !ok {
		return "", ""
	}
	if _, migrated := volumes.Driver(class.Provisioner); migrated {
		return "", ""
	}
	return class.Provisioner, "\x00" + claim.Namespace + "/" + claim.Name // no driver's handle is like it
}

// attachments adds the volumes that are attached to a node, be it for pods that are gone.
func (l *Limits) attachments(node string, into map[string]string) {
	for _, a := range l.see.Attachments(node) {
		name := a.Spec.Source.PersistentVolumeName
		if a.Spec.Attacher == "" || name == nil {
			continue
		}
		if pv, ok := l.see.Volume(*name); ok && pv.Spec.CSI != nil {
			into[a.Spec.Attacher+"/"+pv.Spec.CSI.VolumeHandle] = a.Spec.Attacher
		}
	}
}

// limits are how many volumes a node takes, by driver.
func limits(csi *storagev1.CSINode) map[string]int64 {
	out := map[string]int64{}
	if csi == nil {
		return out
	}
	for i := range csi.Spec.Drivers {
		if d := &csi.Spec.Drivers[i]; d.Allocatable != nil && d.Allocatable.Count != nil {
			out[d.Name] = int64(*d.Allocatable.Count)
		}
	}
	return out
}

// Events implements plugin.Rejecting.
func (*Limits) Events() plugin.Event {
	return plugin.NodeAdded | plugin.PodLeft | plugin.StorageChanged
}

// Helps implements plugin.Rejecting.
func (*Limits) Helps(pod *plugin.Pod, c plugin.Change) bool {
	switch c.Event {
	case plugin.NodeAdded:
		return true
	case plugin.PodLeft:
		return c.Pod != nil && c.Pod.Claimed
	}
	switch now := c.Object.(type) {
	case nil:
		_, attachment := c.Previous.(*storagev1.VolumeAttachment)
		return attachment
	case *corev1.PersistentVolumeClaim:
		return c.Previous == nil && has(pod, now)
	case *storagev1.CSINode:
		was, had := c.Previous.(*storagev1.CSINode)
		if !had {
			return true
		}
		before := limits(was)
		for driver, n := range limits(now) {
			if n > before[driver] {
				return true
			}
		}
		return len(now.Spec.Drivers) > len(was.Spec.Drivers) // a driver that was missing
	}
	return false
}
