package volume

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api/volumes"
	"sampan.dev/internal/control/scheduler/plugin"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/types"
)

const otherZone = "node(s) had no available volume zone"

// Zone is VolumeZone: a pod runs in the zones and regions that its volumes are labelled with.
type Zone struct {
	fits
	see *Storage
	of  types.UID // the pod that places are of
	in  []places
}

// places are the values of a node's label that one volume can be reached from.
type places struct {
	label  string
	values []string
}

// NewZone makes the plugin VolumeZone.
func NewZone(see *Storage) *Zone { return &Zone{see: see} }

// placeLabels, and what those of old are called now.
var placeLabels = []string{corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyZone, corev1.LabelTopologyRegion}
var calledNow = map[string]string{
	corev1.LabelFailureDomainBetaZone: corev1.LabelTopologyZone, corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
}

// Name implements plugin.Plugin.
func (*Zone) Name() string { return "VolumeZone" }

// PreFilter implements plugin.PreFilter.
func (z *Zone) PreFilter(pod *plugin.Pod) plugin.Verdict {
	if !pod.Claimed {
		return plugin.Verdict{}
	}
	in, reason := z.places(pod)
	if reason != "" {
		return plugin.Unresolvable(reason)
	}
	z.of, z.in = pod.UID, in
	return plugin.Verdict{}
}

// places are where the pod's volumes can be reached from, or why it can be placed nowhere.
func (z *Zone) places(pod *plugin.Pod) (out []places, reason string) {
	for i := range pod.Spec.Volumes {
		c := pod.Spec.Volumes[i].PersistentVolumeClaim
		if c == nil {
			continue
		}
		if c.ClaimName == "" {
			return nil, "PersistentVolumeClaim had no name"
		}
		claim, ok := z.see.Claim(pod.Namespace, c.ClaimName)
		if !ok {
			return nil, fmt.Sprintf("persistentvolumeclaim %q not found", c.ClaimName)
		}
		if claim.Spec.VolumeName == "" {
			if reason := z.unbound(claim); reason != "" {
				return nil, reason
			}
			continue
		}
		pv, ok := z.see.Volume(claim.Spec.VolumeName)
		if !ok {
			return nil, fmt.Sprintf("persistentvolume %q not found", claim.Spec.VolumeName)
		}
		out = append(out, labelled(pv)...)
	}
	return out, ""
}

// unbound returns why a pod with a claim without a volume can be placed nowhere; "" where the volume comes with the node.
func (z *Zone) unbound(claim *corev1.PersistentVolumeClaim) string {
	name := volumes.Class(claim)
	if name == "" {
		return "PersistentVolumeClaim had no pv name and storageClass name"
	}
	class, ok := z.see.Class(name)
	if !ok {
		return fmt.Sprintf("storageclass.storage.k8s.io %q not found", name)
	}
	waits, err := volumes.Waits(class)
	switch {
	case err != nil:
		return err.Error()
	case waits:
		return ""
	}
	return "PersistentVolume had no name"
}

// labelled reads the labels of a volume: zones are joined by two underscores.
func labelled(pv *corev1.PersistentVolume) (out []places) {
	for _, label := range placeLabels {
		value, ok := pv.Labels[label]
		if !ok {
			continue
		}
		values := strings.Split(value, "__")
		for i := range values {
			values[i] = strings.TrimSpace(values[i])
		}
		if !slices.Contains(values, "") {
			out = append(out, places{label, values})
		}
	}
	return out
}

// Filter implements plugin.Filter. A node without any such label is taken to be a cluster's that has no zones.
func (z *Zone) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	if !pod.Claimed {
		return plugin.Verdict{}
	}
	if z.of != pod.UID {
		if v := z.PreFilter(pod); !v.Fits() {
			return v
		}
	}
	if !slices.ContainsFunc(placeLabels, func(l string) bool { _, ok := node.Labels[l]; return ok }) {
		return plugin.Verdict{}
	}
	for _, p := range z.in {
		value, ok := node.Labels[p.label]
		if !ok {
			value, ok = node.Labels[calledNow[p.label]]
		}
		if !ok || !slices.Contains(p.values, value) {
			return plugin.Unresolvable(otherZone)
		}
	}
	return plugin.Verdict{}
}

// Events implements plugin.Rejecting.
func (*Zone) Events() plugin.Event {
	return plugin.NodeAdded | plugin.NodeLabel | plugin.StorageChanged
}

// Helps implements plugin.Rejecting.
func (*Zone) Helps(pod *plugin.Pod, c plugin.Change) bool {
	if c.Event&plugin.StorageChanged == 0 {
		return true
	}
	switch now := c.Object.(type) {
	case *corev1.PersistentVolumeClaim:
		return has(pod, now)
	case *corev1.PersistentVolume:
		was, had := c.Previous.(*corev1.PersistentVolume)
		return !had || !slices.EqualFunc(labelled(was), labelled(now), func(a, b places) bool {
			return a.label == b.label && slices.Equal(a.values, b.values)
		})
	case *storagev1.StorageClass:
		waits, err := volumes.Waits(now)
		return c.Previous == nil && waits && err == nil
	}
	return false
}
