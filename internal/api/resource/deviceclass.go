package resource

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type class = resourcev1.DeviceClass

// Classes is the kind DeviceClass: which devices an administrator offers under a name, and how they are set up.
func Classes() *api.Kind {
	return &api.Kind{
		Group: resourcev1.GroupName, Version: "v1", Kind: "DeviceClass", Resource: "deviceclasses", Singular: "deviceclass",
		New:     func() api.Object { return &class{} },
		NewList: func() runtime.Object { return &resourcev1.DeviceClassList{} },

		PrepareCreate: api.On(func(c *class) { c.Generation = 1 }),
		PrepareUpdate: api.OnChange(func(c, old *class) {
			if !equality.Semantic.DeepEqual(c.Spec, old.Spec) {
				c.Generation = old.Generation + 1
			}
		}),
		Validate:       api.Check(func(c *class) field.ErrorList { return classErrors(c, nil) }),
		ValidateUpdate: api.CheckChange(classErrors),
		Unconditional:  true,
		ReturnsDeleted: true,
		Columns:        []metav1.TableColumnDefinition{api.NameColumn(), api.AgeColumn()},
		Row:            api.Cells(func(c *class) []any { return []any{c.Name, c.CreationTimestamp} }),
	}
}

// classErrors checks a class; old is nil for a new one.
func classErrors(c, old *class) field.ErrorList {
	errs, path := valid.KubeFinalizers(c), field.NewPath("spec")
	if old != nil {
		errs = append(errs, valid.KubeFinalizers(c)...)
	}
	known := old != nil && equality.Semantic.DeepEqual(c.Spec.Selectors, old.Spec.Selectors)
	errs = append(errs, items(c.Spec.Selectors, resourcev1.DeviceSelectorsMaxSize, func(s *resourcev1.DeviceSelector, at *field.Path) field.ErrorList {
		return selector(s, known, at)
	}, path.Child("selectors"), covers{size: true})...)
	known = old != nil && equality.Semantic.DeepEqual(c.Spec.Config, old.Spec.Config)
	errs = append(errs, items(c.Spec.Config, resourcev1.DeviceConfigMaxSize, func(s *resourcev1.DeviceClassConfiguration, at *field.Path) field.ErrorList {
		return configuration(&s.DeviceConfiguration, known, at)
	}, path.Child("config"), covers{size: true})...)
	if n := c.Spec.ExtendedResourceName; n != nil && !valid.IsExtendedResource(corev1.ResourceName(*n)) {
		errs = append(errs, field.Invalid(path.Child("extendedResourceName"), *n, "must be a valid extended resource name").MarkCoveredByDeclarative().WithOrigin("format=k8s-extended-resource-name"))
	}
	var was *resourcev1.DeviceClassSpec
	if old != nil {
		was = &old.Spec
	}
	return valid.Declared(errs, valid.Changed(resourcev1.Validate_DeviceClassSpec, &c.Spec, was, nil, path))
}
