package core

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PersistentVolumeClaims is the kind PersistentVolumeClaim: what somebody asks of a volume, and which one has been found for it.
func PersistentVolumeClaims() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "PersistentVolumeClaim", Resource: "persistentvolumeclaims", Singular: "persistentvolumeclaim",
		ShortNames: []string{"pvc"}, Namespaced: true,
		New:     func() api.Object { return &corev1.PersistentVolumeClaim{} },
		NewList: func() runtime.Object { return &corev1.PersistentVolumeClaimList{} },

		Default: api.On(DefaultClaim),
		PrepareCreate: api.On(func(c *corev1.PersistentVolumeClaim) {
			c.Status = corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimPending}
			prepareSources(&c.Spec, nil)
		}),
		PrepareUpdate: api.OnChange(func(c, old *corev1.PersistentVolumeClaim) {
			c.Status = old.Status
			prepareSources(&c.Spec, &old.Spec)
		}),
		Validate: api.Check(func(c *corev1.PersistentVolumeClaim) field.ErrorList {
			return append(valid.KubeFinalizers(c), valid.ClaimSpec(&c.Spec, field.NewPath("spec"))...)
		}),
		ValidateUpdate: api.CheckChange(claimChange),
		Warnings:       func(obj, _ api.Object) []string { return claimWarnings(obj.(*corev1.PersistentVolumeClaim)) },
		Unconditional:  true,
		ReturnsDeleted: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate: api.OnChange(func(c, old *corev1.PersistentVolumeClaim) {
				c.Spec = old.Spec
				if old.Status.HealthStatus == nil {
					c.Status.HealthStatus = nil // alpha
				}
			}),
			ValidateUpdate: api.CheckChange(claimStatusErrors),
		}},
		Columns: claimColumns(),
		Row:     api.Cells(claimRow),
	}
}

// DefaultClaim fills the unset fields of a claim: of its own, or of a template of a StatefulSet.
func DefaultClaim(c *corev1.PersistentVolumeClaim) {
	setDefault(&c.Status.Phase, corev1.ClaimPending)
	setDefaultPtr(&c.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	for _, list := range []corev1.ResourceList{c.Spec.Resources.Limits, c.Spec.Resources.Requests, c.Status.Capacity, c.Status.AllocatedResources} {
		roundResources(list)
	}
}

// prepareSources settles what a volume is to be filled from: old is the spec that it replaces, nil for a new claim. A source in
// another namespace is alpha and dropped. The older field takes only claims and snapshots, and what else a client puts there is
// dropped, unless the claim had a source before. Then each of the two fields is filled from the other.
func prepareSources(spec, old *corev1.PersistentVolumeClaimSpec) {
	if ref := spec.DataSourceRef; ref != nil && ref.Namespace != nil && *ref.Namespace != "" && (old == nil || old.DataSourceRef == nil) {
		spec.DataSourceRef = nil
	}
	had := old != nil && (old.DataSource != nil || old.DataSourceRef != nil)
	if !had && spec.DataSourceRef == nil && spec.DataSource != nil && !isClaimOrSnapshot(spec.DataSource) {
		spec.DataSource = nil
	}
	equalSources(spec)
}

func isClaimOrSnapshot(s *corev1.TypedLocalObjectReference) bool {
	group := ""
	if s.APIGroup != nil {
		group = *s.APIGroup
	}
	return s.Kind == "PersistentVolumeClaim" && group == "" || s.Kind == "VolumeSnapshot" && group == "snapshot.storage.k8s.io"
}

func equalSources(spec *corev1.PersistentVolumeClaimSpec) {
	switch source, ref := spec.DataSource, spec.DataSourceRef; {
	case source != nil && ref == nil:
		spec.DataSourceRef = &corev1.TypedObjectReference{Kind: source.Kind, Name: source.Name, APIGroup: copyOf(source.APIGroup)}
	case ref != nil && source == nil && (ref.Namespace == nil || *ref.Namespace == ""):
		spec.DataSource = &corev1.TypedLocalObjectReference{Kind: ref.Kind, Name: ref.Name, APIGroup: copyOf(ref.APIGroup)}
	}
}

func copyOf[T any](p *T) *T {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

func claimWarnings(c *corev1.PersistentVolumeClaim) []string {
	w := warner{}
	if _, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		w.add(w.annotation(corev1.BetaStorageClassAnnotation), `deprecated since v1.8; use "storageClassName" attribute instead`)
	}
	return append(w.out, ClaimSpecWarnings(field.NewPath("spec"), &c.Spec)...)
}

// ClaimSpecWarnings tells of sizes that are no whole number of bytes, in the spec of a claim found at path.
func ClaimSpecWarnings(path *field.Path, spec *corev1.PersistentVolumeClaimSpec) []string {
	var w warner
	for _, l := range []struct {
		name string
		list corev1.ResourceList
	}{{"requests", spec.Resources.Requests}, {"limits", spec.Resources.Limits}} {
		if q := l.list[corev1.ResourceStorage]; q.MilliValue()%1000 != 0 {
			w.add(path.Child("resources", l.name).Key("storage"), "fractional byte value %q is invalid, must be an integer", q.String())
		}
	}
	return w.out
}

func claimColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.PersistentVolumeClaimSpec{}.SwaggerDoc(), corev1.PersistentVolumeClaimStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Status", "string", status["phase"]),
		api.Column("Volume", "string", spec["volumeName"]),
		api.Column("Capacity", "string", status["capacity"]),
		api.Column("Access Modes", "string", status["accessModes"]),
		api.Column("StorageClass", "string", "StorageClass of the pvc"),
		api.Column("VolumeAttributesClass", "string", "VolumeAttributesClass of the pvc"),
		api.AgeColumn(),
		api.WideColumn("VolumeMode", "string", spec["volumeMode"]),
	}
}

func claimRow(c *corev1.PersistentVolumeClaim) []any {
	phase, size, modes, class := string(c.Status.Phase), "", "", ""
	if c.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	if c.Spec.VolumeName != "" {
		modes = modesText(c.Status.AccessModes)
		q := c.Status.Capacity[corev1.ResourceStorage]
		size = q.String()
	}
	if a, ok := c.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		class = a
	} else if c.Spec.StorageClassName != nil {
		class = *c.Spec.StorageClassName
	}
	return []any{
		c.Name, phase, c.Spec.VolumeName, size, modes, class, orUnset(c.Spec.VolumeAttributesClassName), c.CreationTimestamp, orUnset(c.Spec.VolumeMode),
	}
}
