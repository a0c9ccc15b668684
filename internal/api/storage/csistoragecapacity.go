package storage

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/valid"

	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Capacities is the kind CSIStorageCapacity: how much room a driver has for volumes of a class in one part of the cluster.
func Capacities() *api.Kind {
	return &api.Kind{
		Group: storagev1.GroupName, Version: "v1", Kind: "CSIStorageCapacity", Resource: "csistoragecapacities", Singular: "csistoragecapacity", Namespaced: true,
		New:     func() api.Object { return &storagev1.CSIStorageCapacity{} },
		NewList: func() runtime.Object { return &storagev1.CSIStorageCapacityList{} },

		Validate: api.Check(func(c *storagev1.CSIStorageCapacity) field.ErrorList { return capacityErrors(c, false) }),
		ValidateUpdate: api.CheckChange(func(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
			return append(capacityErrors(c, len(valid.LabelSelector(old.NodeTopology, nil)) > 0), capacityChange(c, old)...)
		}),
		Warnings: func(obj, _ api.Object) []string {
			return core.NodeLabelWarnings(obj.(*storagev1.CSIStorageCapacity).NodeTopology, field.NewPath("nodeTopology"))
		},
	}
}

// capacityErrors checks a capacity; lax tolerates values that no label can have.
func capacityErrors(c *storagev1.CSIStorageCapacity, lax bool) field.ErrorList {
	errs := valid.KubeFinalizers(c)
	errs = append(errs, metavalidation.ValidateLabelSelector(c.NodeTopology, metavalidation.LabelSelectorValidationOptions{AllowInvalidLabelValueInSelector: lax}, field.NewPath("nodeTopology"))...)
	for _, msg := range apivalidation.NameIsDNSSubdomain(c.StorageClassName, false) {
		errs = append(errs, field.Invalid(field.NewPath("storageClassName"), c.StorageClassName, msg))
	}
	if c.Capacity != nil {
		errs = append(errs, valid.NonNegativeQuantity(*c.Capacity, field.NewPath("capacity"))...)
	}
	return errs
}

func capacityChange(c, old *storagev1.CSIStorageCapacity) field.ErrorList {
	errs := valid.KubeFinalizers(c)
	if !equality.Semantic.DeepEqual(c.NodeTopology, old.NodeTopology) {
		errs = append(errs, field.Invalid(field.NewPath("nodeTopology"), c.NodeTopology, "field is immutable"))
	}
	if c.StorageClassName != old.StorageClassName {
		errs = append(errs, field.Invalid(field.NewPath("storageClassName"), c.StorageClassName, "field is immutable"))
	}
	return errs
}
