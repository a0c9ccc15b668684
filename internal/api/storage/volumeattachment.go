package storage

import (
	"math"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/valid"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Attachments is the kind VolumeAttachment: the wish that a volume be attached to a node, and how far the driver has come.
func Attachments() *api.Kind {
	return &api.Kind{
		Group: storagev1.GroupName, Version: "v1", Kind: "VolumeAttachment", Resource: "volumeattachments", Singular: "volumeattachment",
		New:     func() api.Object { return &storagev1.VolumeAttachment{} },
		NewList: func() runtime.Object { return &storagev1.VolumeAttachmentList{} },

		Default: api.On(func(a *storagev1.VolumeAttachment) {
			if s := a.Spec.Source.InlineVolumeSpec; s != nil {
				core.DefaultVolumeSource(s)
			}
		}),
		PrepareCreate:  api.On(func(a *storagev1.VolumeAttachment) { a.Status = storagev1.VolumeAttachmentStatus{} }),
		PrepareUpdate:  api.OnChange(func(a, old *storagev1.VolumeAttachment) { a.Status = old.Status }),
		Validate:       api.Check(func(a *storagev1.VolumeAttachment) field.ErrorList { return attachmentErrors(a, nil) }),
		ValidateUpdate: api.CheckChange(attachmentErrors),
		ReturnsDeleted: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"}, ResetFields: []string{"metadata", "spec"},
			PrepareUpdate: api.OnChange(func(a, old *storagev1.VolumeAttachment) {
				a.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(a, old)
			}),
			ValidateUpdate: api.CheckChange(attachmentErrors),
		}},
		Columns: attachmentColumns(),
		Row: api.Cells(func(a *storagev1.VolumeAttachment) []any {
			volume := ""
			if p := a.Spec.Source.PersistentVolumeName; p != nil {
				volume = *p
			}
			return []any{a.Name, a.Spec.Attacher, volume, a.Spec.NodeName, a.Status.Attached, a.CreationTimestamp}
		}),
	}
}

const (
	mostMetadata  = 256 << 10
	longestReason = 1024
)

// attachmentErrors checks an attachment; old is nil for a new one. A spec never changes.
func attachmentErrors(a, old *storagev1.VolumeAttachment) field.ErrorList {
	spec, status := field.NewPath("spec"), field.NewPath("status")
	errs := valid.KubeFinalizers(a)
	changed := old != nil && !equality.Semantic.DeepEqual(a.Spec, old.Spec)
	if changed { // then the generated rule for the attacher does not come to speak
		errs = append(errs, valid.DriverName(a.Spec.Attacher, spec.Child("attacher"))...)
	}
	errs = append(errs, attachmentSource(&a.Spec.Source, spec.Child("source"))...)
	errs = append(errs, valid.NodeName(a.Spec.NodeName, spec.Child("nodeName"))...)
	size := 0
	for k, v := range a.Status.AttachmentMetadata {
		size += len(k) + len(v)
	}
	if size > mostMetadata {
		errs = append(errs, field.TooLong(status.Child("attachmentMetadata"), "", mostMetadata))
	}
	errs = append(errs, volumeError(a.Status.AttachError, status.Child("attachError"))...)
	errs = append(errs, volumeError(a.Status.DetachError, status.Child("detachError"))...)
	if name := a.Spec.Source.PersistentVolumeName; name != nil {
		for _, msg := range apivalidation.NameIsDNSSubdomain(*name, false) {
			errs = append(errs, field.Invalid(field.NewPath("spec.source.persistentVolumeName"), *name, msg))
		}
	}
	switch { // the generated rules
	case old == nil:
		errs = append(errs, valid.DeclaredDriverName(a.Spec.Attacher, spec.Child("attacher"))...)
	case changed:
		errs = append(errs, valid.DeclaredImmutable(spec))
	}
	return errs
}

func attachmentSource(s *storagev1.VolumeAttachmentSource, path *field.Path) field.ErrorList {
	const one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
	switch {
	case s.InlineVolumeSpec == nil && s.PersistentVolumeName == nil:
		return valid.Required(path, one)
	case s.InlineVolumeSpec != nil && s.PersistentVolumeName != nil:
		return valid.Forbidden(path, one)
	case s.InlineVolumeSpec != nil:
		return valid.InlineVolumeSpec(s.InlineVolumeSpec, path.Child("inlineVolumeSpec"))
	case *s.PersistentVolumeName == "":
		return valid.Required(path.Child("persistentVolumeName"), "must specify non empty persistentVolumeName")
	}
	return nil
}

func volumeError(e *storagev1.VolumeError, path *field.Path) field.ErrorList {
	if e == nil {
		return nil
	}
	var errs field.ErrorList
	if len(e.Message) > longestReason {
		errs = append(errs, field.TooLong(path.Child("message"), "", longestReason))
	}
	if c := e.ErrorCode; c != nil && *c < 0 {
		errs = append(errs, field.Invalid(path.Child("errorCode"), *c, validation.InclusiveRangeError(0, math.MaxInt32)))
	}
	return errs
}

func attachmentColumns() []metav1.TableColumnDefinition {
	spec, source, status := storagev1.VolumeAttachmentSpec{}.SwaggerDoc(), storagev1.VolumeAttachmentSource{}.SwaggerDoc(), storagev1.VolumeAttachmentStatus{}.SwaggerDoc()
	attacher := api.Column("Attacher", "string", spec["attacher"])
	attacher.Format = "name"
	return []metav1.TableColumnDefinition{
		api.NameColumn(), attacher,
		api.Column("PV", "string", source["persistentVolumeName"]),
		api.Column("Node", "string", spec["nodeName"]),
		api.Column("Attached", "boolean", status["attached"]),
		api.AgeColumn(),
	}
}
