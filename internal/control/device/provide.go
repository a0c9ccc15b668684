package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/dynamic-resource-allocation/resourceclaim"
)

// manager owns the names of claims in pods' statuses.
const manager = "ResourceClaimController"

// provide sees to it that there is the claim that a pod has by a template. It returns the claim's name when the pod is to be told.
func (c *claims) provide(ctx context.Context, key string, pod *corev1.Pod, want *corev1.PodResourceClaim) (string, error) {
	name, _, err := resourceclaim.Name(pod, want)
	switch {
	case errors.Is(err, resourceclaim.ErrClaimNotFound):
	case err != nil:
		return "", fmt.Errorf("checking for claim before creating it: %w", err)
	case name == nil || want.ResourceClaimTemplateName == nil:
		return "", nil
	default: // the pod knows its name; it may have been deleted
		if k, ok := c.claims.Get(pod.Namespace, *name); ok && resourceclaim.IsForPod(pod, k, false) == nil {
			return "", nil
		}
	}
	for _, k := range c.claims.ByIndex(byOwner, string(pod.UID)) { // made before, and the pod not told
		if k.Annotations[resourcev1.PodResourceClaimAnnotation] == want.Name {
			return k.Name, nil
		}
	}
	template, ok := c.templates.Get(pod.Namespace, *want.ResourceClaimTemplateName)
	if !ok {
		return "", fmt.Errorf("resource claim template %q: resourceclaimtemplate.resource.k8s.io %q not found", *want.ResourceClaimTemplateName, *want.ResourceClaimTemplateName)
	}
	k, err := client.Create(ctx, c.Door, client.ResourceClaims, claimFor(pod, want.Name, template))
	if err != nil {
		return "", fmt.Errorf("create ResourceClaim : %w", err) // upstream's, which names it before it has a name
	}
	c.ledger.Wrote(key, c.view, k)
	return k.Name, nil
}

// claimFor is the claim that a pod has by a template.
func claimFor(pod *corev1.Pod, name string, t *resourcev1.ResourceClaimTemplate) *resourcev1.ResourceClaim {
	annotations := maps.Clone(t.Spec.Annotations)
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[resourcev1.PodResourceClaimAnnotation] = name
	return &resourcev1.ResourceClaim{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, GenerateName: generateName(pod.Name, name), Annotations: annotations, Labels: t.Spec.Labels,
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: new(true)}},
		},
		Spec: *t.Spec.Spec.DeepCopy(),
	}
}

// generateName joins the names of a pod and a claim. Where both are too long, each loses of its end in proportion to its length, so
// that something of the claim's is left.
func generateName(pod, claim string) string {
	const most = 57 // of 63; the rest is for what the hub adds
	name := pod + "-" + claim + "-"
	if n := len(name); n > most {
		return pod[:len(pod)*most/n] + "-" + claim[:len(claim)*most/n]
	}
	return name
}

// tell writes the names of claims into a pod's status, beside those that stand there.
func (c *claims) tell(ctx context.Context, pod *corev1.Pod, made map[string]string) error {
	all := map[string]string{}
	for _, s := range pod.Status.ResourceClaimStatuses {
		if s.ResourceClaimName != nil {
			all[s.Name] = *s.ResourceClaimName
		}
	}
	maps.Copy(all, made)
	var statuses []corev1.PodResourceClaimStatus
	for _, name := range slices.Sorted(maps.Keys(all)) {
		statuses = append(statuses, corev1.PodResourceClaimStatus{Name: name, ResourceClaimName: new(all[name])})
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"namespace": pod.Namespace, "name": pod.Name, "uid": pod.UID},
		"status":   map[string]any{"resourceClaimStatuses": statuses},
	})
	if err != nil {
		return err
	}
	ref := client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name, Subresource: "status"}
	_, err = c.Door.Patch(ctx, ref, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: manager, Force: new(true)})
	return err
}
