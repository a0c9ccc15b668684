package core

import (
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PersistentVolumes is the kind PersistentVolume: a piece of storage that outlives pods.
func PersistentVolumes() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "PersistentVolume", Resource: "persistentvolumes", Singular: "persistentvolume", ShortNames: []string{"pv"},
		New:     func() api.Object { return &corev1.PersistentVolume{} },
		NewList: func() runtime.Object { return &corev1.PersistentVolumeList{} },

		Default: api.On(defaultPersistentVolume),
		PrepareCreate: api.On(func(v *corev1.PersistentVolume) {
			now := metav1.Now()
			v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: &now}
		}),
		PrepareUpdate:  api.OnChange(func(v, old *corev1.PersistentVolume) { v.Status = old.Status }),
		Validate:       api.Check(func(v *corev1.PersistentVolume) field.ErrorList { return volumeErrors(v, nil) }),
		ValidateUpdate: api.CheckChange(volumeChange),
		Warnings:       func(obj, _ api.Object) []string { return volumeWarnings(obj.(*corev1.PersistentVolume)) },
		Unconditional:  true,
		ReturnsDeleted: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: statusVerbs,
			PrepareUpdate: api.OnChange(prepareVolumeStatus),
			ValidateUpdate: api.CheckChange(func(v, _ *corev1.PersistentVolume) field.ErrorList {
				return valid.KubeFinalizers(v)
			}),
		}},
		Columns: volumeColumns(),
		Row:     api.Cells(volumeRow),
	}
}

func defaultPersistentVolume(v *corev1.PersistentVolume) {
	setDefault(&v.Status.Phase, corev1.VolumePending)
	setDefault(&v.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
	setDefaultPtr(&v.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	DefaultVolumeSource(&v.Spec)
}

// DefaultVolumeSource fills the capacity and the source of a persistent volume, on its own or inline.
func DefaultVolumeSource(s *corev1.PersistentVolumeSpec) {
	roundResources(s.Capacity)
	if s.HostPath != nil {
		setDefaultPtr(&s.HostPath.Type, corev1.HostPathUnset)
	}
	if s.ISCSI != nil {
		setDefault(&s.ISCSI.ISCSIInterface, "default")
	}
	if s.RBD != nil {
		setDefault(&s.RBD.RBDPool, "rbd")
		setDefault(&s.RBD.RadosUser, "admin")
		setDefault(&s.RBD.Keyring, "/etc/ceph/keyring")
	}
	defaultForeignVolume(&corev1.VolumeSource{AzureDisk: s.AzureDisk})
	if s.ScaleIO != nil {
		setDefault(&s.ScaleIO.StorageMode, "ThinProvisioned")
		setDefault(&s.ScaleIO.FSType, "xfs")
	}
}

// prepareVolumeStatus stamps a new phase, unless the client did.
func prepareVolumeStatus(v, old *corev1.PersistentVolume) {
	v.Spec = old.Spec
	is, was := &v.Status, &old.Status
	switch {
	case is.Phase == was.Phase && is.LastPhaseTransitionTime == nil:
		is.LastPhaseTransitionTime = was.LastPhaseTransitionTime
	case is.Phase != was.Phase && (is.LastPhaseTransitionTime == nil || is.LastPhaseTransitionTime.Equal(was.LastPhaseTransitionTime)):
		now := metav1.Now()
		is.LastPhaseTransitionTime = &now
	}
}

func volumeWarnings(v *corev1.PersistentVolume) []string {
	w, s := warner{}, &v.Spec
	for _, old := range [][2]string{
		{corev1.BetaStorageClassAnnotation, `deprecated since v1.8; use "storageClassName" attribute instead`},
		{corev1.MountOptionAnnotation, `deprecated since v1.31; use "mountOptions" attribute instead`},
	} {
		if _, ok := v.Annotations[old[0]]; ok {
			w.add(w.annotation(old[0]), "%s", old[1])
		}
	}
	if s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		w.add(w.spec("persistentVolumeReclaimPolicy"), "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.")
	}
	if a := s.NodeAffinity; a != nil && a.Required != nil {
		for i := range a.Required.NodeSelectorTerms {
			w.nodeTerm(&a.Required.NodeSelectorTerms[i], false, w.spec("nodeAffinity", "required", "nodeSelectorTerms").Index(i))
		}
	}
	for _, gone := range []struct {
		set        bool
		name, text string
	}{
		{s.CephFS != nil, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
		{s.PhotonPersistentDisk != nil, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
		{s.ScaleIO != nil, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
		{s.StorageOS != nil, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
		{s.Glusterfs != nil, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
		{s.RBD != nil, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
	} {
		if gone.set {
			w.add(w.spec(gone.name), "%s", gone.text)
		}
	}
	return w.out
}

func volumeColumns() []metav1.TableColumnDefinition {
	spec, status := corev1.PersistentVolumeSpec{}.SwaggerDoc(), corev1.PersistentVolumeStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Capacity", "string", spec["capacity"]),
		api.Column("Access Modes", "string", spec["accessModes"]),
		api.Column("Reclaim Policy", "string", spec["persistentVolumeReclaimPolicy"]),
		api.Column("Status", "string", status["phase"]),
		api.Column("Claim", "string", spec["claimRef"]),
		api.Column("StorageClass", "string", "StorageClass of the pv"),
		api.Column("VolumeAttributesClass", "string", "VolumeAttributesClass of the pv"),
		api.Column("Reason", "string", status["reason"]),
		api.AgeColumn(),
		api.WideColumn("VolumeMode", "string", spec["volumeMode"]),
	}
}

func volumeRow(v *corev1.PersistentVolume) []any {
	claim, phase, class := "", string(v.Status.Phase), v.Spec.StorageClassName
	if ref := v.Spec.ClaimRef; ref != nil {
		claim = ref.Namespace + "/" + ref.Name
	}
	if v.DeletionTimestamp != nil {
		phase = "Terminating"
	}
	if c, ok := v.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		class = c
	}
	size := v.Spec.Capacity[corev1.ResourceStorage]
	return []any{
		v.Name, size.String(), modesText(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase, claim, class,
		orUnset(v.Spec.VolumeAttributesClassName), v.Status.Reason, v.CreationTimestamp, orUnset(v.Spec.VolumeMode),
	}
}

// modesText abbreviates access modes, in an order of their own.
func modesText(modes []corev1.PersistentVolumeAccessMode) string {
	var out []string
	for _, m := range []struct{ mode, text string }{{"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"}, {"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}} {
		for _, has := range modes {
			if string(has) == m.mode {
				out = append(out, m.text)
				break
			}
		}
	}
	return strings.Join(out, ",")
}

func orUnset[T ~string](s *T) string {
	if s == nil {
		return "<unset>"
	}
	return string(*s)
}
