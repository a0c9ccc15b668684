package authz

import (
	"context"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// reaches tells whether a node may read what no pod names: the volume of a claim of its pods, the secrets that the volume is mounted
// with, and what names the node itself. Upstream follows all of these kinds to know; here they are read when a node asks, so that they
// cost nothing until then and are never out of date.
func (n *Node) reaches(ctx context.Context, v vertex, node string) bool {
	if n.door == nil {
		return false
	}
	switch v.resource {
	case "persistentvolumes":
		pv, ok := stored[*corev1.PersistentVolume](ctx, n.door, client.PersistentVolumes, "", v.name)
		return ok && pv.Spec.ClaimRef != nil && n.graph.related(vertex{claimsResource, pv.Spec.ClaimRef.Namespace, pv.Spec.ClaimRef.Name}, node)
	case "secrets":
		return n.mountsWith(ctx, v, node)
	case "volumeattachments":
		a, ok := stored[*storagev1.VolumeAttachment](ctx, n.door, client.VolumeAttachments, "", v.name)
		return ok && a.Spec.NodeName == node
	case "resourceslices":
		s, ok := stored[*resourcev1.ResourceSlice](ctx, n.door, client.ResourceSlices, "", v.name)
		return ok && s.Spec.NodeName != nil && *s.Spec.NodeName == node
	case "podcertificaterequests":
		r, ok := stored[*certificatesv1.PodCertificateRequest](ctx, n.door, client.PodCertificateRequests, v.namespace, v.name)
		return ok && string(r.Spec.NodeName) == node
	}
	return false
}

// mountsWith tells whether a volume of a claim of the node's pods is mounted with the secret. The volume has to name the claim too:
// who writes a claim could name any volume.
func (n *Node) mountsWith(ctx context.Context, secret vertex, node string) bool {
	for _, v := range n.graph.claims(node) {
		claim, ok := stored[*corev1.PersistentVolumeClaim](ctx, n.door, client.PersistentVolumeClaims, v.namespace, v.name)
		if !ok || claim.Spec.VolumeName == "" {
			continue
		}
		pv, ok := stored[*corev1.PersistentVolume](ctx, n.door, client.PersistentVolumes, "", claim.Spec.VolumeName)
		if !ok || pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.Namespace != v.namespace || pv.Spec.ClaimRef.Name != v.name {
			continue
		}
		if slices.Contains(mountSecrets(pv), secret) {
			return true
		}
	}
	return false
}

// mountSecrets are the secrets that a kubelet needs for a volume; those for the driver's controller are not among them.
func mountSecrets(pv *corev1.PersistentVolume) []vertex {
	var out []vertex
	add := func(namespace, name string) {
		if namespace == "" {
			namespace = pv.Spec.ClaimRef.Namespace
		}
		out = append(out, vertex{"secrets", namespace, name})
	}
	ref := func(r *corev1.SecretReference) {
		if r != nil {
			add(r.Namespace, r.Name)
		}
	}
	s := &pv.Spec.PersistentVolumeSource
	switch {
	case s.AzureFile != nil:
		namespace := ""
		if s.AzureFile.SecretNamespace != nil {
			namespace = *s.AzureFile.SecretNamespace
		}
		add(namespace, s.AzureFile.SecretName)
	case s.CephFS != nil:
		ref(s.CephFS.SecretRef)
	case s.Cinder != nil:
		ref(s.Cinder.SecretRef)
	case s.FlexVolume != nil:
		ref(s.FlexVolume.SecretRef)
	case s.RBD != nil:
		ref(s.RBD.SecretRef)
	case s.ScaleIO != nil:
		ref(s.ScaleIO.SecretRef)
	case s.ISCSI != nil:
		ref(s.ISCSI.SecretRef)
	case s.StorageOS != nil && s.StorageOS.SecretRef != nil:
		add(s.StorageOS.SecretRef.Namespace, s.StorageOS.SecretRef.Name)
	case s.CSI != nil:
		ref(s.CSI.NodePublishSecretRef)
		ref(s.CSI.NodeStageSecretRef)
		ref(s.CSI.NodeExpandSecretRef)
	}
	return out
}

// stored reads an object from the hub's cache; false where there is none, or it cannot be read.
func stored[T api.Object](ctx context.Context, door client.Reader, res schema.GroupVersionResource, namespace, name string) (T, bool) {
	var zero T
	obj, err := door.Get(ctx, client.Ref{Resource: res, Namespace: namespace, Name: name}, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return zero, false
	}
	t, ok := obj.(T)
	return t, ok
}
