package statefulset

import (
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// claimsOf makes the claims of a pod of the set's templates, with the owners that they have while the pod is wanted.
func claimsOf(set *appsv1.StatefulSet, ordinal int) []*corev1.PersistentVolumeClaim {
	var out []*corev1.PersistentVolumeClaim
	for i := range set.Spec.VolumeClaimTemplates {
		t := &set.Spec.VolumeClaimTemplates[i]
		c := t.DeepCopy()
		c.Namespace, c.Name = set.Namespace, claimName(set, t, ordinal)
		if c.Labels == nil {
			c.Labels = map[string]string{}
		}
		maps.Copy(c.Labels, set.Spec.Selector.MatchLabels)
		if _, deleted := deletes(set); deleted {
			c.OwnerReferences = append(c.OwnerReferences, *metav1.NewControllerRef(set, setKind))
		}
		out = append(out, c)
	}
	return out
}

// deletes says when a set's claims are to go: with pods that it is scaled down by, and with itself.
func deletes(set *appsv1.StatefulSet) (scaled, deleted bool) {
	p := set.Spec.PersistentVolumeClaimRetentionPolicy
	if p == nil {
		return false, false
	}
	return p.WhenScaled == appsv1.DeletePersistentVolumeClaimRetentionPolicyType,
		p.WhenDeleted == appsv1.DeletePersistentVolumeClaimRetentionPolicyType
}

// names reports whether a reference is to an object of this kind and name, whatever its UID.
func names(ref *metav1.OwnerReference, obj metav1.Object, kind schema.GroupVersionKind) bool {
	return ref.APIVersion == kind.GroupVersion().String() && ref.Kind == kind.Kind && ref.Name == obj.GetName()
}

// staleOwner reports whether an owner of the claim has the name of obj and is another: an earlier one, which is gone.
func staleOwner(claim *corev1.PersistentVolumeClaim, obj metav1.Object, kind schema.GroupVersionKind) bool {
	for i := range claim.OwnerReferences {
		if ref := &claim.OwnerReferences[i]; names(ref, obj, kind) {
			return ref.UID != obj.GetUID()
		}
	}
	return false
}

// owns reports whether obj is an owner of the claim, be it as its controller or not.
func owns(claim *corev1.PersistentVolumeClaim, obj metav1.Object) bool {
	return slices.ContainsFunc(claim.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == obj.GetUID() })
}

// conflicting reports whether somebody else than set and pod controls the claim of a set that is to delete claims. A set that
// keeps them does not mind.
func conflicting(claim *corev1.PersistentVolumeClaim, set *appsv1.StatefulSet, pod *corev1.Pod) bool {
	if scaled, deleted := deletes(set); !scaled && !deleted {
		return false
	}
	for i := range claim.OwnerReferences {
		ref := &claim.OwnerReferences[i]
		switch {
		case names(ref, set, setKind):
			if ref.UID != set.UID {
				return true
			}
		case names(ref, pod, podKind):
			if ref.UID != pod.UID {
				return true
			}
		case ref.Controller != nil && *ref.Controller:
			return true
		}
	}
	return false
}

// wantedOwners says which of set and pod is to own the pod's claims: the set, so that they go with it, until the pod is one too
// many, and then the pod.
func wantedOwners(set *appsv1.StatefulSet, pod *corev1.Pod) (bySet, byPod bool) {
	scaled, deleted := deletes(set)
	byPod = scaled && !inRange(set, ordinalOf(pod))
	return deleted && !byPod, byPod
}

// owned reports whether a claim has the owners that it should have. A claim that an earlier set or pod of the name owns is left
// as it is, for the garbage collector.
func owned(claim *corev1.PersistentVolumeClaim, set *appsv1.StatefulSet, pod *corev1.Pod) bool {
	if staleOwner(claim, set, setKind) || staleOwner(claim, pod, podKind) {
		return true
	}
	if conflicting(claim, set, pod) {
		return !owns(claim, set) && !owns(claim, pod)
	}
	for i := range claim.OwnerReferences {
		ref := &claim.OwnerReferences[i]
		if (ref.UID == set.UID || ref.UID == pod.UID) && (ref.Controller == nil || !*ref.Controller) {
			return false
		}
	}
	bySet, byPod := wantedOwners(set, pod)
	return owns(claim, set) == bySet && owns(claim, pod) == byPod
}

// withOwners is a copy of the claim with the owners that it should have. Where somebody else controls it, set and pod let go.
func withOwners(claim *corev1.PersistentVolumeClaim, set *appsv1.StatefulSet, pod *corev1.Pod) *corev1.PersistentVolumeClaim {
	contested := conflicting(claim, set, pod)
	claim = claim.DeepCopy()
	claim.OwnerReferences = slices.DeleteFunc(claim.OwnerReferences, func(r metav1.OwnerReference) bool {
		return names(&r, set, setKind) || names(&r, pod, podKind)
	})
	if contested {
		return claim
	}
	bySet, byPod := wantedOwners(set, pod)
	if byPod {
		claim.OwnerReferences = append(claim.OwnerReferences, *metav1.NewControllerRef(pod, podKind))
	}
	if bySet && !owns(claim, set) {
		claim.OwnerReferences = append(claim.OwnerReferences, *metav1.NewControllerRef(set, setKind))
	}
	return claim
}
