package storage

import (
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Drivers is the kind CSIDriver: what Kubernetes has to know of a driver of volumes that is installed in the cluster.
func Drivers() *api.Kind {
	return &api.Kind{
		Group: storagev1.GroupName, Version: "v1", Kind: "CSIDriver", Resource: "csidrivers", Singular: "csidriver",
		New:     func() api.Object { return &storagev1.CSIDriver{} },
		NewList: func() runtime.Object { return &storagev1.CSIDriverList{} },

		Default: api.On(defaultDriver),
		PrepareUpdate: api.OnChange(func(d, old *storagev1.CSIDriver) {
			if !equality.Semantic.DeepEqual(d.Spec, old.Spec) {
				d.Generation = old.Generation + 1
			}
		}),
		Validate: api.Check(func(d *storagev1.CSIDriver) field.ErrorList {
			return append(valid.KubeFinalizers(d), driverSpec(&d.Spec, field.NewPath("spec"))...)
		}),
		ValidateUpdate: api.CheckChange(driverChange),
		Warnings: func(obj, old api.Object) []string {
			was, _ := old.(*storagev1.CSIDriver)
			return driverWarnings(obj.(*storagev1.CSIDriver), was)
		},
		ReturnsDeleted: true,
		Columns:        driverColumns(),
		Row:            api.Cells(driverRow),
	}
}

func defaultDriver(d *storagev1.CSIDriver) {
	s := &d.Spec
	setPtr(&s.AttachRequired, true)
	setPtr(&s.PodInfoOnMount, false)
	setPtr(&s.StorageCapacity, false)
	setPtr(&s.FSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)
	if len(s.VolumeLifecycleModes) == 0 {
		s.VolumeLifecycleModes = append(s.VolumeLifecycleModes, storagev1.VolumeLifecyclePersistent)
	}
	setPtr(&s.RequiresRepublish, false)
	setPtr(&s.SELinuxMount, false)
	setPtr(&s.PreventPodSchedulingIfMissing, false)
}

// driverSpec checks a driver. That attachRequired goes by another name here is upstream's slip.
func driverSpec(s *storagev1.CSIDriverSpec, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	required := func(name string, set bool) {
		if !set {
			errs = append(errs, field.Required(path.Child(name), ""))
		}
	}
	required("attachedRequired", s.AttachRequired != nil)
	required("podInfoOnMount", s.PodInfoOnMount != nil)
	required("storageCapacity", s.StorageCapacity != nil)
	if p := s.FSGroupPolicy; p != nil {
		errs = append(errs, valid.OneOf(*p, path.Child("fsGroupPolicy"), storagev1.FileFSGroupPolicy, storagev1.NoneFSGroupPolicy, storagev1.ReadWriteOnceWithFSTypeFSGroupPolicy)...)
	}
	errs = append(errs, tokenRequests(s.TokenRequests, path.Child("tokenRequests"))...)
	for _, m := range s.VolumeLifecycleModes {
		errs = append(errs, valid.InOrder(m, path.Child("volumeLifecycleModes"), storagev1.VolumeLifecyclePersistent, storagev1.VolumeLifecycleEphemeral)...)
	}
	required("seLinuxMount", s.SELinuxMount != nil)
	if p := s.NodeAllocatableUpdatePeriodSeconds; p != nil && *p < 10 {
		errs = append(errs, field.Invalid(path.Child("nodeAllocatableUpdatePeriodSeconds"), *p, "must be greater than or equal to 10 seconds"))
	}
	if t := s.ServiceAccountTokenInSecrets; t != nil && len(s.TokenRequests) == 0 {
		errs = append(errs, field.Invalid(path.Child("serviceAccountTokenInSecrets"), t, "serviceAccountTokenInSecrets is set but no tokenRequests are specified"))
	}
	required("preventPodSchedulingIfMissing", s.PreventPodSchedulingIfMissing != nil)
	return errs
}

func tokenRequests(list []storagev1.TokenRequest, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, r := range list {
		at := path.Index(i)
		if seen[r.Audience] {
			errs = append(errs, field.Duplicate(at.Child("audience"), r.Audience))
			continue
		}
		seen[r.Audience] = true
		if s := r.ExpirationSeconds; s != nil && *s < 600 {
			errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration less than 10 minutes"))
		}
		if s := r.ExpirationSeconds; s != nil && *s > 1<<32 {
			errs = append(errs, field.Invalid(at.Child("expirationSeconds"), *s, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	return errs
}

func driverChange(d, old *storagev1.CSIDriver) field.ErrorList {
	spec := field.NewPath("spec")
	errs := append(valid.KubeFinalizers(d), driverSpec(&d.Spec, spec)...)
	errs = append(errs, valid.Immutable(d.Spec.AttachRequired, old.Spec.AttachRequired, spec.Child("attachedRequired"))...)
	return append(errs, valid.Immutable(d.Spec.VolumeLifecycleModes, old.Spec.VolumeLifecycleModes, spec.Child("volumeLifecycleModes"))...)
}

// driverWarnings are made when the token requests of a driver are set or change; old is nil for a new one.
func driverWarnings(d, old *storagev1.CSIDriver) []string {
	s := &d.Spec
	if len(s.TokenRequests) == 0 || s.ServiceAccountTokenInSecrets != nil || old != nil && equality.Semantic.DeepEqual(old.Spec.TokenRequests, s.TokenRequests) {
		return nil
	}
	return []string{"spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes"}
}

func driverColumns() []metav1.TableColumnDefinition {
	doc := storagev1.CSIDriverSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("AttachRequired", "boolean", doc["attachRequired"]),
		api.Column("PodInfoOnMount", "boolean", doc["podInfoOnMount"]),
		api.Column("StorageCapacity", "boolean", doc["storageCapacity"]),
		api.Column("TokenRequests", "string", doc["tokenRequests"]),
		api.Column("RequiresRepublish", "boolean", doc["requiresRepublish"]),
		api.Column("Modes", "string", doc["volumeLifecycleModes"]),
		api.AgeColumn(),
	}
}

func driverRow(d *storagev1.CSIDriver) []any {
	s := &d.Spec
	tokens, modes := "<unset>", "<none>"
	if s.TokenRequests != nil {
		var audiences []string
		for _, t := range s.TokenRequests {
			audiences = append(audiences, t.Audience)
		}
		tokens = strings.Join(audiences, ",")
	}
	if len(s.VolumeLifecycleModes) > 0 {
		var names []string
		for _, m := range s.VolumeLifecycleModes {
			names = append(names, string(m))
		}
		modes = strings.Join(names, ",")
	}
	attach := s.AttachRequired == nil || *s.AttachRequired
	return []any{d.Name, attach, yes(s.PodInfoOnMount), yes(s.StorageCapacity), tokens, yes(s.RequiresRepublish), modes, d.CreationTimestamp}
}
