package storage

import (
	"fmt"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Nodes is the kind CSINode: which drivers are installed on the node of the same name, and what they call it. Its status, the
// health of the storage behind the drivers, is alpha in v1.37: what is sent of it is dropped.
func Nodes() *api.Kind {
	return &api.Kind{
		Group: storagev1.GroupName, Version: "v1", Kind: "CSINode", Resource: "csinodes", Singular: "csinode",
		New:     func() api.Object { return &storagev1.CSINode{} },
		NewList: func() runtime.Object { return &storagev1.CSINodeList{} },

		PrepareCreate: api.On(func(n *storagev1.CSINode) { n.Status = storagev1.CSINodeStatus{} }),
		PrepareUpdate: api.OnChange(func(n, old *storagev1.CSINode) { n.Status = old.Status }),
		Validate:      api.Check(nodeErrors),
		ValidateUpdate: api.CheckChange(func(n, old *storagev1.CSINode) field.ErrorList {
			return append(nodeErrors(n), nodeChange(n, old)...)
		}),
		ReturnsDeleted: true,
		Subresources: []api.Subresource{{
			Name: "status", Verbs: []string{"get", "patch", "update"}, ResetFields: []string{"metadata", "spec"},
			PrepareUpdate: api.OnChange(func(n, old *storagev1.CSINode) {
				n.Spec = old.Spec
				metav1.ResetObjectMetaForStatus(n, old)
				if len(old.Status.StorageHealth) == 0 {
					n.Status.StorageHealth = nil
				}
			}),
			ValidateUpdate: api.CheckChange(func(n, _ *storagev1.CSINode) field.ErrorList { return valid.KubeFinalizers(n) }),
		}},
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(), api.Column("Drivers", "integer", "Drivers indicates the number of CSI drivers registered on the node"), api.AgeColumn(),
		},
		Row: api.Cells(func(n *storagev1.CSINode) []any {
			return []any{n.Name, int64(len(n.Spec.Drivers)), n.CreationTimestamp}
		}),
	}
}

func nodeErrors(n *storagev1.CSINode) field.ErrorList {
	errs := valid.KubeFinalizers(n)
	path := field.NewPath("spec", "drivers")
	seen := map[string]bool{}
	for i := range n.Spec.Drivers {
		d, at := &n.Spec.Drivers[i], path.Index(i)
		errs = append(errs, nodeDriver(d, seen[d.Name], at)...)
		seen[d.Name] = true
	}
	return errs
}

const longestNodeID = 256

func nodeDriver(d *storagev1.CSINodeDriver, twice bool, path *field.Path) field.ErrorList {
	errs := valid.DriverName(d.Name, path.Child("name"))
	if d.NodeID == "" {
		errs = append(errs, field.Required(path.Child("nodeID"), ""))
	}
	if len(d.NodeID) > longestNodeID {
		errs = append(errs, field.Invalid(path.Child("nodeID"), d.NodeID, fmt.Sprintf("must be %d characters or less", longestNodeID)))
	}
	if a := d.Allocatable; a != nil && a.Count != nil {
		errs = append(errs, valid.NonNegative(int64(*a.Count), path.Child("allocatable", "count"))...)
	}
	if twice {
		errs = append(errs, field.Duplicate(path.Child("name"), d.Name))
	}
	for i, key := range d.TopologyKeys {
		if key == "" {
			errs = append(errs, field.Required(path, key))
		}
		if slices.Contains(d.TopologyKeys[:i], key) {
			errs = append(errs, field.Duplicate(path, key))
		}
		errs = append(errs, valid.QualifiedName(key, path)...)
	}
	return errs
}

// nodeChange refuses changes of a driver that stays, save for how many volumes it can take.
func nodeChange(n, old *storagev1.CSINode) field.ErrorList {
	var errs field.ErrorList
	for _, was := range old.Spec.Drivers {
		for _, is := range n.Spec.Drivers {
			if was.Name != is.Name {
				continue
			}
			was, is := was.DeepCopy(), is.DeepCopy()
			was.Allocatable, is.Allocatable = nil, nil
			for _, err := range valid.Immutable(is, was, field.NewPath("spec", "drivers")) {
				err.BadValue = valid.Internal(is)
				errs = append(errs, err)
			}
		}
	}
	return errs
}
