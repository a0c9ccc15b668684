package volume

import (
	"sampan.dev/internal/api/volumes"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// on returns what the claims get on a node, or the reasons why they cannot all be had there. It is pure but for what it sees.
func (w *wants) on(node *corev1.Node, see *Storage, volume func(string) (*corev1.PersistentVolume, bool)) (given, []string) {
	g := given{node: node.Name}
	if reason := w.reached(node, volume); reason != "" {
		// What else is in the way is told too, as upstream does, save where the volume is not there at all.
		_, more := w.fresh(node, see, &g)
		return g, sorted(reason, more)
	}
	_, reason := w.fresh(node, see, &g)
	return g, sorted("", reason)
}

func sorted(a, b string) []string {
	var out []string
	for _, r := range []string{elsewhere, noMatch, noSpace, noVolume} { // the order in which upstream tells them
		if r == a || r == b {
			out = append(out, r)
		}
	}
	return out
}

// reached returns why a node does not reach the volumes of the claims that have one.
func (w *wants) reached(node *corev1.Node, volume func(string) (*corev1.PersistentVolume, bool)) string {
	for _, claim := range w.bound {
		pv, ok := volume(claim.Spec.VolumeName)
		if !ok {
			return noVolume
		}
		if volumes.OnNode(pv, node) != nil {
			return elsewhere
		}
	}
	return ""
}

// fresh finds volumes for the claims that have none yet: those that are there, else those that can be made.
func (w *wants) fresh(node *corev1.Node, see *Storage, g *given) (ok bool, reason string) {
	var rest []*corev1.PersistentVolumeClaim // for which a volume is to be made
	taken := map[string]bool{}
	for _, claim := range w.waiting {
		if chosen, is := claim.Annotations[volumes.SelectedNode]; is {
			if chosen != node.Name {
				return false, noMatch // its volume is being made for another node
			}
			rest = append(rest, claim)
			continue
		}
		pv, err := volumes.Search{Volumes: w.offers[volumes.Class(claim)], Node: node, Taken: taken, Waits: true}.Find(claim)
		if err != nil {
			return false, noMatch
		}
		if pv == nil {
			rest = append(rest, claim)
			continue
		}
		taken[pv.Name] = true
		g.volumes = append(g.volumes, pair{pv, claim})
	}
	for _, claim := range rest {
		if reason := canMake(claim, node, see); reason != "" {
			return false, reason
		}
	}
	g.made = rest
	return true, ""
}

// canMake returns why no volume can be made for a claim on a node.
func canMake(claim *corev1.PersistentVolumeClaim, node *corev1.Node, see *Storage) string {
	class, ok := see.Class(volumes.Class(claim))
	if !ok || class.Provisioner == "" || class.Provisioner == volumes.NoProvisioner || !volumes.Allowed(class.AllowedTopologies, node.Labels) {
		return noMatch
	}
	driver, ok := see.Driver(class.Provisioner)
	size, asks := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if !ok || !asks || !tells(driver) {
		return ""
	}
	for _, c := range see.Capacities() {
		if most := limit(c); c.StorageClassName == class.Name && most != nil && most.Value() >= size.Value() && covers(c, node) {
			return ""
		}
	}
	return noSpace
}

// limit is the size of the largest volume that can be made; nil for unknown.
func limit(c *storagev1.CSIStorageCapacity) *resource.Quantity {
	if c.MaximumVolumeSize != nil {
		return c.MaximumVolumeSize
	}
	return c.Capacity
}

func covers(c *storagev1.CSIStorageCapacity, node *corev1.Node) bool {
	if c.NodeTopology == nil {
		return false
	}
	s, err := metav1.LabelSelectorAsSelector(c.NodeTopology)
	return err == nil && s.Matches(labels.Set(node.Labels))
}
