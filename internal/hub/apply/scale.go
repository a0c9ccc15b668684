package apply

import (
	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// ScaleFields returns the managed fields that the Scale of a workload shows: those entries of the workload that own its replica
// count, in the Scale's terms. Give them to the Scale before it is patched or tracked (with sub "scale").
func ScaleFields(k *api.Kind, s *api.Scale, parent api.Object) ([]metav1.ManagedFieldsEntry, error) {
	return scaleHandler(k, s, parent).ToSubresource()
}

// ParentFields returns the managed fields of the workload after its Scale was written with the managed fields given.
func ParentFields(k *api.Kind, s *api.Scale, parent api.Object, scale []metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, error) {
	return scaleHandler(k, s, parent).ToParent(scale)
}

func scaleHandler(k *api.Kind, s *api.Scale, parent api.Object) *managedfields.ScaleHandler {
	gv := k.GVK().GroupVersion()
	paths := managedfields.ResourcePathMappings{gv.String(): fieldpath.MakePathOrDie("spec", "replicas")}
	if s.Paths != nil {
		clear(paths)
		for version, path := range s.Paths {
			paths[version] = nil
			for _, name := range path {
				paths[version] = append(paths[version], fieldpath.PathElement{FieldName: &name})
			}
		}
	}
	return managedfields.NewScaleHandler(parent.GetManagedFields(), gv, paths)
}
