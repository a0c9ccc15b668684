package loop

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SettledCondition is a condition as it is written to a pod: of the pod's generation, unless it says of which, its transition now if
// its status is new.
func SettledCondition(pod *corev1.Pod, c corev1.PodCondition) corev1.PodCondition {
	c.LastTransitionTime = metav1.Now()
	if c.ObservedGeneration == 0 {
		c.ObservedGeneration = pod.Generation
	}
	if have := PodCondition(pod, c.Type); have != nil && have.Status == c.Status {
		c.LastTransitionTime = have.LastTransitionTime
	}
	return c
}

// WithPodCondition is a copy of the pod with a condition set in it.
func WithPodCondition(pod *corev1.Pod, c corev1.PodCondition) *corev1.Pod {
	out := pod.DeepCopy()
	c = SettledCondition(pod, c)
	if have := PodCondition(out, c.Type); have != nil {
		*have = c
	} else {
		out.Status.Conditions = append(out.Status.Conditions, c)
	}
	return out
}
