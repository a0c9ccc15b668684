package cloud

import (
	"context"
	"encoding/json"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Patches name the object by its uid and say only what changes, so that a view that is behind does no harm and causes no conflict:
// a conflict would put a service off for its backoff of seconds.

// patchService writes a strategic merge patch through the status, which the account's rights are for. It may carry metadata.
func patchService(ctx context.Context, door client.Writer, svc *corev1.Service, patch map[string]any) (api.Object, error) {
	data, err := json.Marshal(patch)
	if err != nil {
		return nil, err
	}
	ref := client.Ref{Resource: client.Services, Namespace: svc.Namespace, Name: svc.Name, Subresource: "status"}
	out, err := door.Patch(ctx, ref, types.StrategicMergePatchType, data, metav1.PatchOptions{})
	obj, _ := out.(api.Object)
	return obj, err
}

func addFinalizer(ctx context.Context, door client.Writer, svc *corev1.Service) (api.Object, error) {
	if slices.Contains(svc.Finalizers, Finalizer) {
		return nil, nil
	}
	return patchService(ctx, door, svc, map[string]any{"metadata": map[string]any{"uid": svc.UID, "finalizers": []string{Finalizer}}})
}

func dropFinalizer(ctx context.Context, door client.Writer, svc *corev1.Service) (api.Object, error) {
	if !slices.Contains(svc.Finalizers, Finalizer) {
		return nil, nil
	}
	return patchService(ctx, door, svc, map[string]any{"metadata": map[string]any{"uid": svc.UID, "$deleteFromPrimitiveList/finalizers": []string{Finalizer}}})
}

// setIngress writes the addresses of a service's balancer, if they are others than before.
func setIngress(ctx context.Context, door client.Writer, svc *corev1.Service, ingress []corev1.LoadBalancerIngress) (api.Object, error) {
	if same(svc.Status.LoadBalancer.Ingress, ingress) {
		return nil, nil
	}
	var list any // nil removes it
	if len(ingress) > 0 {
		list = ingress
	}
	return patchService(ctx, door, svc, map[string]any{"metadata": map[string]any{"uid": svc.UID},
		"status": map[string]any{"loadBalancer": map[string]any{"ingress": list}}})
}
