package volumes

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ClaimOf names the claim of a pod's volume. own says that the claim is made for the pod (a generic ephemeral volume). name is ""
// for volumes without a claim.
func ClaimOf(pod *corev1.Pod, v *corev1.Volume) (name string, own bool) {
	switch {
	case v.PersistentVolumeClaim != nil:
		return v.PersistentVolumeClaim.ClaimName, false
	case v.Ephemeral != nil:
		return pod.Name + "-" + v.Name, true
	}
	return "", false
}

// MadeFor tells, in upstream's words, that a claim with the name of a pod's ephemeral volume was not made for that pod.
func MadeFor(pod *corev1.Pod, claim *corev1.PersistentVolumeClaim) error {
	if claim.Namespace != pod.Namespace || !metav1.IsControlledBy(claim, pod) {
		return fmt.Errorf("PVC %s/%s was not created for pod %s/%s (pod is not owner)", claim.Namespace, claim.Name, pod.Namespace, pod.Name)
	}
	return nil
}

// HasClaims reports whether any volume of a pod has a claim.
func HasClaims(pod *corev1.Pod) bool {
	for i := range pod.Spec.Volumes {
		if name, _ := ClaimOf(pod, &pod.Spec.Volumes[i]); name != "" {
			return true
		}
	}
	return false
}
