package quota

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime"
)

// ofClass is between a storage class and what is limited of it: "gold.storageclass.storage.k8s.io/requests.storage".
const ofClass = ".storageclass.storage.k8s.io/"

func ofClaims(name corev1.ResourceName) bool {
	switch name {
	case "count/persistentvolumeclaims", corev1.ResourcePersistentVolumeClaims, corev1.ResourceRequestsStorage:
		return true
	}
	return strings.HasSuffix(string(name), ofClass+string(corev1.ResourcePersistentVolumeClaims)) ||
		strings.HasSuffix(string(name), ofClass+string(corev1.ResourceRequestsStorage))
}

// claimChanges: of a status, what has been allocated and which attributes are in use count.
func claimChanges(c Change) bool {
	switch c.Subresource {
	case "":
		return true
	case "status":
		claim, ok := c.New.(*corev1.PersistentVolumeClaim)
		old, was := c.Old.(*corev1.PersistentVolumeClaim)
		return ok && was && (!Equal(claim.Status.AllocatedResources, old.Status.AllocatedResources) || attributes(claim) != attributes(old))
	}
	return false
}

func claimUsage(obj runtime.Object) corev1.ResourceList {
	out := corev1.ResourceList{"count/persistentvolumeclaims": amount(1), corev1.ResourcePersistentVolumeClaims: amount(1)}
	claim, ok := obj.(*corev1.PersistentVolumeClaim)
	if !ok {
		return out
	}
	class, old := claim.Annotations[corev1.BetaStorageClassAnnotation]
	if !old && claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	if class != "" {
		out[corev1.ResourceName(class+ofClass)+corev1.ResourcePersistentVolumeClaims] = amount(1)
	}
	if q, ok := storage(claim); ok {
		out[corev1.ResourceRequestsStorage] = q
		if class != "" {
			out[corev1.ResourceName(class+ofClass)+corev1.ResourceRequestsStorage] = q
		}
	}
	return out
}

// storage is how much a claim asks for, or has been allocated where that is more, in whole bytes.
func storage(claim *corev1.PersistentVolumeClaim) (resource.Quantity, bool) {
	q, ok := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		return q, false
	}
	if have, ok := claim.Status.AllocatedResources[corev1.ResourceStorage]; ok && have.Cmp(q) > 0 {
		q = have
	}
	q = q.DeepCopy()
	q.RoundUp(0)
	return q, true
}

// attributes are the names of the volume attributes classes that a claim is about: wanted, in use, and on the way.
func attributes(claim *corev1.PersistentVolumeClaim) (out [3]string) {
	if n := claim.Spec.VolumeAttributesClassName; n != nil {
		out[0] = *n
	}
	if n := claim.Status.CurrentVolumeAttributesClassName; n != nil {
		out[1] = *n
	}
	if m := claim.Status.ModifyVolumeStatus; m != nil {
		out[2] = m.TargetVolumeAttributesClassName
	}
	return out
}

func claimInScope(obj runtime.Object, s corev1.ScopedResourceSelectorRequirement) (bool, error) {
	claim, ok := obj.(*corev1.PersistentVolumeClaim)
	if !ok || s.ScopeName != corev1.ResourceQuotaScopeVolumeAttributesClass {
		return false, nil
	}
	named := attributes(claim)
	return selects(s, named[:]...)
}

func ofDevices(name corev1.ResourceName) bool {
	return name == "count/resourceclaims.resource.k8s.io" || strings.HasSuffix(string(name), corev1.ResourceClaimsPerClass)
}

// deviceUsage counts a claim's devices by their class. Of alternatives the most that any of them takes of a class counts, and of a
// request for all devices as many as one may be given.
func deviceUsage(obj runtime.Object) corev1.ResourceList {
	out := corev1.ResourceList{"count/resourceclaims.resource.k8s.io": amount(1)}
	claim, ok := obj.(*resourcev1.ResourceClaim)
	if !ok {
		return out
	}
	number := func(mode resourcev1.DeviceAllocationMode, n int64) int64 {
		switch mode {
		case resourcev1.DeviceAllocationModeExactCount:
			return n
		case resourcev1.DeviceAllocationModeAll:
			return resourcev1.AllocationResultsMaxSize
		}
		return 0
	}
	add := func(class string, n int64) {
		name := corev1.ResourceName(class + corev1.ResourceClaimsPerClass)
		sum := out[name]
		sum.Add(amount(n))
		out[name] = sum
	}
	for i := range claim.Spec.Devices.Requests {
		r := &claim.Spec.Devices.Requests[i]
		if len(r.FirstAvailable) > 0 {
			most := map[string]int64{}
			for _, s := range r.FirstAvailable {
				most[s.DeviceClassName] = max(most[s.DeviceClassName], number(s.AllocationMode, s.Count))
			}
			for class, n := range most {
				add(class, n)
			}
		} else if e := r.Exactly; e != nil {
			add(e.DeviceClassName, number(e.AllocationMode, e.Count))
		}
	}
	return out
}
