package admit

import (
	"context"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/storage"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// storageInUse gives new claims, volumes and classes of volume attributes a finalizer, so that they stay while somebody uses them.
// The protection controllers take it off again.
type storageInUse struct{}

func (storageInUse) Name() string { return "StorageObjectInUseProtection" }

func (storageInUse) Admit(_ context.Context, a *Attributes) error {
	if a.Operation != Create || a.Subresource != "" {
		return nil
	}
	finalizer := ""
	switch a.Object.(type) {
	case *corev1.PersistentVolumeClaim:
		finalizer = "kubernetes.io/pvc-protection"
	case *corev1.PersistentVolume:
		finalizer = "kubernetes.io/pv-protection"
	case *storagev1.VolumeAttributesClass:
		finalizer = "kubernetes.io/vac-protection"
	default:
		return nil
	}
	obj := a.Object.(api.Object)
	if list := obj.GetFinalizers(); !slices.Contains(list, finalizer) {
		obj.SetFinalizers(append(slices.Clone(list), finalizer))
	}
	return nil
}

// defaultStorageClass gives new claims that name no class the default one, if there is one.
type defaultStorageClass struct{ look lookup }

func (*defaultStorageClass) Name() string { return "DefaultStorageClass" }

func (p *defaultStorageClass) Admit(ctx context.Context, a *Attributes) error {
	c, ok := a.Object.(*corev1.PersistentVolumeClaim)
	if !ok || !a.is("", "persistentvolumeclaims", "") || a.Operation != Create {
		return nil
	}
	if _, old := c.Annotations[corev1.BetaStorageClassAnnotation]; old || c.Spec.StorageClassName != nil {
		return nil
	}
	list, err := p.look.door.List(ctx, client.Ref{Resource: client.StorageClasses}, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return forbidden(a, "%w", err)
	}
	var best *storagev1.StorageClass
	for _, obj := range list.Items {
		if sc, ok := obj.(*storagev1.StorageClass); ok && storage.IsDefaultClass(sc) && (best == nil || storage.Before(sc, best)) {
			best = sc
		}
	}
	if best != nil {
		name := best.Name
		c.Spec.StorageClassName = &name
	}
	return nil
}

// claimResize lets a claim grow only when it is bound and its class says that volumes can.
type claimResize struct{ look lookup }

func (*claimResize) Name() string { return "PersistentVolumeClaimResize" }

func (p *claimResize) Validate(ctx context.Context, a *Attributes) error {
	c, ok := a.Object.(*corev1.PersistentVolumeClaim)
	old, was := a.Old.(*corev1.PersistentVolumeClaim)
	if !ok || !was || !a.is("", "persistentvolumeclaims", "") || a.Operation != Update {
		return nil
	}
	size := c.Spec.Resources.Requests[corev1.ResourceStorage]
	if size.Cmp(old.Spec.Resources.Requests[corev1.ResourceStorage]) <= 0 {
		return nil
	}
	if old.Status.Phase != corev1.ClaimBound {
		return forbidden(a, "Only bound persistent volume claims can be expanded")
	}
	if name := classOf(c); name != "" && name == classOf(old) {
		class, err := find[*storagev1.StorageClass](ctx, p.look, client.StorageClasses, "", name)
		if err == nil && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion {
			return nil
		}
	}
	return forbidden(a, "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
}

// classOf is the class that a claim names, in the annotation of old or in its field.
func classOf(c *corev1.PersistentVolumeClaim) string {
	if name, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return name
	}
	if c.Spec.StorageClassName != nil {
		return *c.Spec.StorageClassName
	}
	return ""
}
