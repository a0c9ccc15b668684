package volumes

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

// Search is what a volume for a claim is looked for among.
type Search struct {
	Volumes []*corev1.PersistentVolume
	// Node is where the pod that needs the claim is to run: the scheduler's search. Nil is the binder's, which does not mind nodes.
	Node *corev1.Node
	// Taken are volumes that other claims of the same pod are to get, by name.
	Taken map[string]bool
	// Waits says that the claim is bound only when a pod needs it, so that the binder takes no volume for it that does not name it.
	Waits bool
}

// Find returns the volume that a claim should get: the one that names it, else the smallest that is available and fits. Nil where
// there is none. Among equals of the scheduler's search the first wins; the binder prefers those with the fewest access modes beyond
// what is asked for.
func (s Search) Find(claim *corev1.PersistentVolumeClaim) (*corev1.PersistentVolume, error) {
	selector, err := selectorOf(claim)
	if err != nil {
		return nil, err
	}
	if s.Node != nil {
		return s.best(claim, selector, s.Volumes), nil
	}
	var free []*corev1.PersistentVolume
	for _, pv := range s.Volumes {
		if pv.Spec.ClaimRef == nil && !s.Waits || Names(pv, claim) {
			free = append(free, pv)
		}
	}
	for _, group := range byModes(free, claim.Spec.AccessModes) {
		if pv := s.best(claim, selector, group); pv != nil {
			return pv, nil
		}
	}
	return nil, nil
}

func selectorOf(claim *corev1.PersistentVolumeClaim) (labels.Selector, error) {
	if claim.Spec.Selector == nil {
		return nil, nil
	}
	s, err := metav1.LabelSelectorAsSelector(claim.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("error creating internal label selector for claim: %v/%v: %v", claim.Namespace, claim.Name, err)
	}
	return s, nil
}

// best looks through one list.
func (s Search) best(claim *corev1.PersistentVolumeClaim, selector labels.Selector, list []*corev1.PersistentVolume) *corev1.PersistentVolume {
	var best *corev1.PersistentVolume
	class, request := Class(claim), claim.Spec.Resources.Requests[corev1.ResourceStorage]
	for _, pv := range list {
		size := pv.Spec.Capacity[corev1.ResourceStorage]
		if s.Taken[pv.Name] || pv.Spec.ClaimRef != nil && !Names(pv, claim) || size.Cmp(request) < 0 ||
			!SameMode(claim, pv) || !sameAttributes(claim, pv) || pv.DeletionTimestamp != nil {
			continue
		}
		reached := s.Node == nil || OnNode(pv, s.Node) == nil
		if Names(pv, claim) {
			if !reached {
				return nil // it is meant for this claim, which therefore cannot be had here
			}
			return pv
		}
		switch {
		case s.Node == nil && s.Waits:
		case pv.Status.Phase != corev1.VolumeAvailable:
		case selector != nil && !selector.Matches(labels.Set(pv.Labels)):
		case ClassOf(pv) != class || !reached:
		case s.Node != nil && !HasModes(pv.Spec.AccessModes, claim.Spec.AccessModes):
		default:
			if best == nil || size.Cmp(best.Spec.Capacity[corev1.ResourceStorage]) < 0 {
				best = pv
			}
		}
	}
	return best
}

// byModes groups the volumes that have all the wanted access modes by which they have, those with the fewest first.
func byModes(list []*corev1.PersistentVolume, wanted []corev1.PersistentVolumeAccessMode) [][]*corev1.PersistentVolume {
	var groups [][]*corev1.PersistentVolume
	for _, pv := range list {
		if !HasModes(pv.Spec.AccessModes, wanted) {
			continue
		}
		i := slices.IndexFunc(groups, func(g []*corev1.PersistentVolume) bool {
			has := g[0].Spec.AccessModes
			return HasModes(has, pv.Spec.AccessModes) && HasModes(pv.Spec.AccessModes, has)
		})
		if i < 0 {
			groups = append(groups, nil)
			i = len(groups) - 1
		}
		groups[i] = append(groups[i], pv)
	}
	slices.SortStableFunc(groups, func(a, b []*corev1.PersistentVolume) int {
		return len(a[0].Spec.AccessModes) - len(b[0].Spec.AccessModes)
	})
	return groups
}

// HasModes reports whether has contains all wanted access modes.
func HasModes(has, wanted []corev1.PersistentVolumeAccessMode) bool {
	for _, m := range wanted {
		if !slices.Contains(has, m) {
			return false
		}
	}
	return true
}

// SameMode reports whether claim and volume are both file systems, or both block devices.
func SameMode(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	return ptr.Deref(claim.Spec.VolumeMode, corev1.PersistentVolumeFilesystem) == ptr.Deref(pv.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
}

func sameAttributes(claim *corev1.PersistentVolumeClaim, pv *corev1.PersistentVolume) bool {
	return ptr.Deref(claim.Spec.VolumeAttributesClassName, "") == ptr.Deref(pv.Spec.VolumeAttributesClassName, "")
}

// Satisfies tells in upstream's words why a volume that a claim names cannot be had by it; nil if it can.
func Satisfies(pv *corev1.PersistentVolume, claim *corev1.PersistentVolumeClaim) error {
	switch {
	case pv.DeletionTimestamp != nil:
		return fmt.Errorf("the volume is marked for deletion %q", pv.Name)
	case Capacity(pv) < Request(claim):
		return fmt.Errorf("requested PV is too small")
	case ClassOf(pv) != Class(claim):
		return fmt.Errorf("storageClassName does not match")
	case !sameAttributes(claim, pv):
		return fmt.Errorf("volumeAttributesClassName does not match")
	case !SameMode(claim, pv):
		return fmt.Errorf("incompatible volumeMode")
	case !HasModes(pv.Spec.AccessModes, claim.Spec.AccessModes):
		return fmt.Errorf("incompatible accessMode")
	}
	return nil
}
