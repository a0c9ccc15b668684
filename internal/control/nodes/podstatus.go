package nodes

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// setPodCondition sets a condition of a pod. A pod that is gone needs nothing. It writes the pod as it was seen, which in
// process costs half of a patch, and patches it when it is another by now.
func setPodCondition(ctx context.Context, door client.Interface, pod *corev1.Pod, condition corev1.PodCondition) error {
	next := pod.DeepCopy()
	condition = settled(pod, condition)
	if i := slices.IndexFunc(next.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == condition.Type }); i >= 0 {
		next.Status.Conditions[i] = condition
	} else {
		next.Status.Conditions = append(next.Status.Conditions, condition)
	}
	_, err := client.UpdateStatus(ctx, door, client.Pods, next)
	switch {
	case apierrors.IsConflict(err):
		return patchPodStatus(ctx, door, pod, "", condition)
	case apierrors.IsNotFound(err):
		return nil
	}
	return err
}

// patchPodStatus sets conditions of a pod, and its phase unless that is "". A pod that is gone needs nothing.
func patchPodStatus(ctx context.Context, door client.Writer, pod *corev1.Pod, phase corev1.PodPhase, conditions ...corev1.PodCondition) error {
	status := map[string]any{}
	for i := range conditions {
		conditions[i] = settled(pod, conditions[i])
	}
	if len(conditions) > 0 {
		status["conditions"] = conditions
	}
	if phase != "" {
		status["phase"] = phase
		status["observedGeneration"] = pod.Generation
	}
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	ref := client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name, Subresource: "status"}
	_, err = door.Patch(ctx, ref, types.StrategicMergePatchType, data, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// settled is the condition as it is written: of the pod's generation, its transition now if its status is new.
func settled(pod *corev1.Pod, c corev1.PodCondition) corev1.PodCondition {
	c.ObservedGeneration = pod.Generation
	c.LastTransitionTime = metav1.NewTime(time.Now())
	for i := range pod.Status.Conditions {
		if have := &pod.Status.Conditions[i]; have.Type == c.Type && have.Status == c.Status {
			c.LastTransitionTime = have.LastTransitionTime
		}
	}
	return c
}

// deletePod deletes this very pod; grace nil is the pod's own. One that is gone or replaced needs nothing.
func deletePod(ctx context.Context, door client.Writer, pod *corev1.Pod, grace *int64) error {
	err := door.Delete(ctx, client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name}, metav1.DeleteOptions{
		GracePeriodSeconds: grace,
		Preconditions:      &metav1.Preconditions{UID: &pod.UID},
	})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
