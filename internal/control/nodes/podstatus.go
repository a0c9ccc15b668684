package nodes

import (
	"context"
	"encoding/json"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// setPodCondition sets a condition of a pod. A pod that is gone needs nothing. It writes the pod as it was seen, which in
// process costs half of a patch, and patches it when it is another by now.
func setPodCondition(ctx context.Context, door client.Interface, pod *corev1.Pod, condition corev1.PodCondition) error {
	_, err := client.UpdateStatus(ctx, door, client.Pods, loop.WithPodCondition(pod, condition))
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
		conditions[i] = loop.SettledCondition(pod, conditions[i])
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
