package pods

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HasClaim tells whether a node may have mounted the claim for the pod, and not yet unmounted it. Kubelets start no pod whose
// claim is to go, so a pod without a node has none.
func HasClaim(pod *corev1.Pod, pvc *corev1.PersistentVolumeClaim) bool {
	if pod.Spec.NodeName == "" {
		return false
	}
	// The kubelet has unmounted everything when it ends the grace. A claim that was made for the pod goes then, or it would wait
	// for a pod that a finalizer may hold.
	shut := pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil && *pod.DeletionGracePeriodSeconds == 0
	return slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
		if s := v.PersistentVolumeClaim; s != nil {
			return s.ClaimName == pvc.Name
		}
		return v.Ephemeral != nil && !shut && pod.Name+"-"+v.Name == pvc.Name && metav1.IsControlledBy(pvc, pod)
	})
}
