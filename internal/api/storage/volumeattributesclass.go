package storage

import (
	"maps"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// AttributesClasses is the kind VolumeAttributesClass: attributes of volumes that a driver may change while they are in use.
func AttributesClasses() *api.Kind {
	return &api.Kind{
		Group: storagev1.GroupName, Version: "v1", Kind: "VolumeAttributesClass", Resource: "volumeattributesclasses", Singular: "volumeattributesclass",
		ShortNames: []string{"vac"},
		New:        func() api.Object { return &storagev1.VolumeAttributesClass{} },
		NewList:    func() runtime.Object { return &storagev1.VolumeAttributesClassList{} },

		Validate: api.Check(attributesErrors),
		ValidateUpdate: api.CheckChange(func(c, old *storagev1.VolumeAttributesClass) field.ErrorList {
			errs := valid.KubeFinalizers(c)
			if c.DriverName != old.DriverName {
				errs = append(errs, field.Forbidden(field.NewPath("driverName"), "updates to driverName are forbidden."))
			}
			if !maps.Equal(c.Parameters, old.Parameters) {
				errs = append(errs, field.Forbidden(field.NewPath("parameters"), "updates to parameters are forbidden."))
			}
			return append(errs, attributesErrors(c)...)
		}),
		Unconditional:  true,
		ReturnsDeleted: true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(), api.Column("DriverName", "string", storagev1.VolumeAttributesClass{}.SwaggerDoc()["driverName"]), api.AgeColumn(),
		},
		Row: api.Cells(func(c *storagev1.VolumeAttributesClass) []any {
			return []any{c.Name, c.DriverName, c.CreationTimestamp}
		}),
	}
}

func attributesErrors(c *storagev1.VolumeAttributesClass) field.ErrorList {
	errs := valid.KubeFinalizers(c)
	if path := field.NewPath("driverName"); c.DriverName == "" {
		errs = append(errs, field.Required(path, ""))
	} else {
		errs = append(errs, valid.QualifiedName(strings.ToLower(c.DriverName), path)...)
	}
	return append(errs, parameters(c.Parameters, true, field.NewPath("parameters"))...)
}
