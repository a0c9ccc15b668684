package nodes

import (
	"context"
	"encoding/json"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// patchPodStatus sets conditions of a pod, and its phase unless that is "". The conditions' transition times are now if
// their status is new. A pod that is gone needs nothing.
func patchPodStatus(ctx context.Context, door client.Writer, pod *corev1.Pod, phase corev1.PodPhase, conditions ...corev1.PodCondition) error {
	now := metav1.NewTime(time.Now())
	status := map[string]any{}
	for i := range conditions {
		c := &conditions[i]
		c.ObservedGeneration = pod.Generation
		c.LastTransitionTime = now
		for j := range pod.Status.Conditions {
			if have := &pod.Status.Conditions[j]; have.Type == c.Type && have.Status == c.Status {
				c.LastTransitionTime = have.LastTransitionTime
			}
		}
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
