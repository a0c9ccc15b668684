package custom

import (
	"context"
	"fmt"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apiextensions"
	"sampan.dev/internal/hub/custom/schema"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kschema "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/version"
)

// closed is why nothing is created of a definition that is being deleted.
const closed = "create not allowed while custom resource definition is terminating"

// verbs are those of custom resources, in the order in which upstream's discovery has them.
var verbs = []string{"delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"}

// kinds makes the kinds that a definition is served as, one for each version that is. The first holds the objects: that of the
// version in which they are stored if it is served. While a definition whose versions are not served is being deleted, it is
// served in that version for the sake of its objects.
func kinds(d *apiextensions.Definition, of *definition) []*api.Kind {
	var served []*apiextensionsv1.CustomResourceDefinitionVersion
	var storage *apiextensionsv1.CustomResourceDefinitionVersion
	for i := range d.Spec.Versions {
		v := &d.Spec.Versions[i]
		if v.Storage {
			storage = v
		}
		if v.Served && v.Storage {
			served = slices.Insert(served, 0, v)
		} else if v.Served {
			served = append(served, v)
		}
	}
	if len(served) == 0 && storage != nil && d.DeletionTimestamp != nil {
		served = append(served, storage)
	}
	versions := &api.Versions{Storage: of.storage, Served: storage != nil && storage.Served, Convert: of.convert}
	out := make([]*api.Kind, len(served))
	for i, v := range served {
		out[i] = kindOf(d, v, of)
		out[i].Versions = versions
		if i > 0 {
			out[i].View = viewOf(out[0], out[i], versions)
		}
	}
	return out
}

// viewOf tells how a version is made of that which holds the objects.
func viewOf(keeper, k *api.Kind, versions *api.Versions) *api.View {
	return &api.View{
		Stored: keeper.GVR(),
		To: func(ctx context.Context, obj api.Object) (api.Object, error) {
			return versions.Convert(ctx, obj, k.Version)
		},
		From: func(ctx context.Context, obj api.Object) (api.Object, error) {
			return versions.Convert(ctx, obj, keeper.Version)
		},
	}
}

// kindOf makes the kind of one version.
func kindOf(d *apiextensions.Definition, v *apiextensionsv1.CustomResourceDefinitionVersion, of *definition) *api.Kind {
	n := &d.Status.AcceptedNames
	s := of.schemas[v.Name]
	k := &api.Kind{
		Group: d.Spec.Group, Version: v.Name, Kind: n.Kind, ListKind: n.ListKind,
		Resource: n.Plural, Singular: n.Singular, ShortNames: slices.Clone(n.ShortNames), Categories: slices.Clone(n.Categories),
		Namespaced: d.Spec.Scope == apiextensionsv1.NamespaceScoped,
		Prefix:     d.Spec.Group + "/" + n.Plural,
		Verbs:      verbs,
		Deprecated: deprecation(d, v),
		Codec:      codec{of: of},
		Model:      s.Model(fmt.Sprintf("%s/%d", d.UID, d.Generation), d.Spec.PreserveUnknownFields),
		Coerce:     of.coerce,
		Default:    of.setDefaults,
	}
	if d.DeletionTimestamp != nil || apiextensions.IsTrue(d, apiextensionsv1.Terminating) {
		k.Closed = closed
	}
	k.New, k.NewList = api.Untyped(k.GVK().GroupVersion().String(), k.Kind, k.ListKind)
	hasStatus := v.Subresources != nil && v.Subresources.Status != nil
	rules{s, k.Namespaced, hasStatus}.into(k)
	if v.Subresources != nil && v.Subresources.Scale != nil {
		k.Subresources = append(k.Subresources, scale(d, v.Subresources.Scale))
	}
	columns(v.AdditionalPrinterColumns, k)
	selectable(v.SelectableFields, k)
	return k
}

// rules are those of writing the objects of a version.
type rules struct {
	schema     *schema.Schema
	namespaced bool
	status     bool // it has a status subresource
}

func (r rules) into(k *api.Kind) {
	k.PrepareCreate = func(obj api.Object) {
		if r.status {
			delete(content(obj), "status")
		}
		obj.SetGeneration(1)
	}
	k.PrepareUpdate = r.prepareUpdate
	k.Check = func(ctx context.Context, obj, old api.Object, warn func(string)) field.ErrorList {
		if old == nil {
			meta := validation.ValidateObjectMetaAccessor(obj, r.namespaced, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
			return r.schema.Validate(ctx, content(obj), meta)
		}
		return r.schema.ValidateUpdate(schema.WithWarnings(ctx, warn), content(obj), content(old), metaErrors(obj, old))
	}
	k.Warnings = func(obj, old api.Object) []string {
		var had []string
		if old != nil {
			had = old.GetFinalizers()
		}
		return schema.Warnings(obj.GetFinalizers(), had)
	}
	k.ResetFields = []string{}
	if !r.status {
		return
	}
	k.ResetFields = []string{"status"}
	k.Subresources = append(k.Subresources, api.Subresource{
		Name: "status", Verbs: []string{"get", "patch", "update"},
		PrepareUpdate: prepareStatus,
		Check: func(ctx context.Context, obj, old api.Object, warn func(string)) field.ErrorList {
			return r.schema.ValidateStatus(schema.WithWarnings(ctx, warn), content(obj), content(old), metaErrors(obj, old))
		},
		ResetFields: []string{"metadata", "spec"},
	})
}

func metaErrors(obj, old api.Object) field.ErrorList {
	return validation.ValidateObjectMetaAccessorUpdate(obj, old, field.NewPath("metadata"))
}

func content(obj api.Object) map[string]any { return obj.(*unstructured.Unstructured).Object }

// prepareUpdate keeps the status where only its subresource may change it, and counts a change of anything but metadata.
func (r rules) prepareUpdate(obj, old api.Object) {
	is, was := content(obj), content(old)
	if r.status {
		if status, ok := was["status"]; ok {
			is["status"] = status
		} else {
			delete(is, "status")
		}
	}
	if !sameButMetadata(is, was) {
		obj.SetGeneration(old.GetGeneration() + 1)
	}
}

func sameButMetadata(a, b map[string]any) bool {
	n := 0
	for name, v := range a {
		if name == "metadata" {
			continue
		}
		w, ok := b[name]
		if !ok || !apiequality.Semantic.DeepEqual(v, w) {
			return false
		}
		n++
	}
	if _, ok := b["metadata"]; ok {
		n++
	}
	return n == len(b)
}

// prepareStatus takes from obj its status, and who set it; all else is old's.
func prepareStatus(obj, old api.Object) {
	u := obj.(*unstructured.Unstructured)
	status, ok := u.Object["status"]
	fields := u.GetManagedFields()
	u.Object = old.(*unstructured.Unstructured).DeepCopy().Object
	u.SetManagedFields(fields)
	if delete(u.Object, "status"); ok {
		u.Object["status"] = status
	}
}

// deprecation is the warning of a version, "" for none.
func deprecation(d *apiextensions.Definition, v *apiextensionsv1.CustomResourceDefinitionVersion) string {
	switch {
	case !v.Deprecated:
		return ""
	case v.DeprecationWarning != nil:
		return *v.DeprecationWarning
	}
	text := func(v string) string {
		return kschema.GroupVersion{Group: d.Spec.Group, Version: v}.String() + " " + d.Spec.Names.Kind
	}
	better := ""
	for _, o := range d.Spec.Versions {
		if o.Served && !o.Deprecated && version.CompareKubeAwareVersionStrings(v.Name, o.Name) < 0 &&
			(better == "" || version.CompareKubeAwareVersionStrings(better, o.Name) < 0) {
			better = o.Name
		}
	}
	if better == "" {
		return text(v.Name) + " is deprecated"
	}
	return text(v.Name) + " is deprecated; use " + text(better)
}
