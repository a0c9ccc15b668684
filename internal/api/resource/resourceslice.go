package resource

import (
	"fmt"
	"strings"

	"sampan.dev/internal/api"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

type slice = resourcev1.ResourceSlice

// Slices is the kind ResourceSlice: a part of the devices that a driver has in a pool, mostly those of one node.
func Slices() *api.Kind {
	return &api.Kind{
		Group: resourcev1.GroupName, Version: "v1", Kind: "ResourceSlice", Resource: "resourceslices", Singular: "resourceslice",
		New:     func() api.Object { return &slice{} },
		NewList: func() runtime.Object { return &resourcev1.ResourceSliceList{} },

		Default: api.On(func(s *slice) {
			for i := range s.Spec.Devices {
				for j := range s.Spec.Devices[i].Taints {
					defaultTaint(&s.Spec.Devices[i].Taints[j])
				}
			}
		}),
		PrepareCreate: api.On(func(s *slice) {
			s.Generation = 1
			dropSliceFields(&s.Spec)
		}),
		PrepareUpdate: api.OnChange(func(s, old *slice) {
			if !equality.Semantic.DeepEqual(s.Spec, old.Spec) {
				s.Generation = old.Generation + 1
			}
			dropSliceFields(&s.Spec)
		}),
		Validate:       api.Check(func(s *slice) field.ErrorList { return sliceErrors(s, nil) }),
		ValidateUpdate: api.CheckChange(sliceErrors),
		Warnings: func(obj, _ api.Object) []string {
			if d := obj.(*slice).Spec.Driver; d != strings.ToLower(d) {
				return []string{fmt.Sprintf("spec.driver: driver names should be lowercase; %q contains uppercase characters", d)}
			}
			return nil
		},
		Unconditional:  true,
		ReturnsDeleted: true,
		Columns:        sliceColumns(),
		Row: api.Cells(func(s *slice) []any {
			return []any{s.Name, nodeName(s), s.Spec.Driver, s.Spec.Pool.Name, s.CreationTimestamp}
		}),
		Fields: func(obj api.Object) fields.Set {
			s := obj.(*slice)
			return fields.Set{
				resourcev1.ResourceSliceSelectorNodeName: nodeName(s), resourcev1.ResourceSliceSelectorDriver: s.Spec.Driver,
				resourcev1.ResourceSliceSelectorPoolName: s.Spec.Pool.Name,
			}
		},
		FieldLabels: []string{resourcev1.ResourceSliceSelectorNodeName, resourcev1.ResourceSliceSelectorDriver, resourcev1.ResourceSliceSelectorPoolName},
	}
}

func nodeName(s *slice) string {
	if s.Spec.NodeName == nil {
		return ""
	}
	return *s.Spec.NodeName
}

// dropSliceFields drops what is alpha. No stored slice has any of it, so that nothing need be kept on an update.
func dropSliceFields(spec *resourcev1.ResourceSliceSpec) {
	spec.PartitionTypeAttribute = nil
	spec.SkipNodeOperations = nil
	for i := range spec.Devices {
		d := &spec.Devices[i]
		d.NodeAllocatableResources = nil
		for j := range d.ConsumesCounters {
			d.ConsumesCounters[j].CompatibilityGroups = nil
		}
		for name, a := range d.Attributes {
			if a.BoolValues != nil || a.IntValues != nil || a.StringValues != nil || a.VersionValues != nil {
				a.BoolValues, a.IntValues, a.StringValues, a.VersionValues = nil, nil, nil, nil
				d.Attributes[name] = a
			}
		}
	}
}

func sliceColumns() []metav1.TableColumnDefinition {
	doc := resourcev1.ResourceSliceSpec{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Node", "string", doc["nodeName"]),
		api.Column("Driver", "string", doc["driver"]),
		api.Column("Pool", "string", resourcev1.ResourcePool{}.SwaggerDoc()["name"]),
		api.AgeColumn(),
	}
}
