package devices

import (
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// Has reports whether a pod has claims of devices: named in its spec, or made for the extended resources that it asks for.
func Has(pod *corev1.Pod) bool {
	return len(pod.Spec.ResourceClaims) > 0 || pod.Status.ExtendedResourceClaimStatus != nil
}

// Names are the names of the claims that a pod has, as far as they are known; each once.
func Names(pod *corev1.Pod) []string {
	var out []string
	add := func(name string) {
		for _, have := range out {
			if have == name {
				return
			}
		}
		out = append(out, name)
	}
	for i := range pod.Spec.ResourceClaims {
		if name, _, err := resourceclaim.Name(pod, &pod.Spec.ResourceClaims[i]); err == nil && name != nil {
			add(*name)
		}
	}
	if s := pod.Status.ExtendedResourceClaimStatus; s != nil {
		add(s.ResourceClaimName)
	}
	return out
}

// Done reports whether it is certain that no container of a pod runs, or ever will.
func Done(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed ||
		pod.DeletionTimestamp != nil && pod.Spec.NodeName == ""
}

// Owner returns the pod that a claim was made for; "" when it was made by a person.
func Owner(claim *resourcev1.ResourceClaim) (name string, uid types.UID) {
	for _, o := range claim.OwnerReferences {
		if o.Controller != nil && *o.Controller && o.APIVersion == "v1" && o.Kind == "Pod" {
			return o.Name, o.UID
		}
	}
	return "", ""
}

// Consumer is how a claim names a pod that it is reserved for.
func Consumer(pod *corev1.Pod) resourcev1.ResourceClaimConsumerReference {
	return resourcev1.ResourceClaimConsumerReference{Resource: "pods", Name: pod.Name, UID: pod.UID}
}

// IsPod reports whether a consumer of a claim is a pod.
func IsPod(c resourcev1.ResourceClaimConsumerReference) bool {
	return c.APIGroup == "" && c.Resource == "pods"
}
