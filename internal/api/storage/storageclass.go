package storage

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Classes is the kind StorageClass: how volumes are made that claims ask for by the name of the class.
func Classes() *api.Kind {
	return &api.Kind{
		Group: storagev1.GroupName, Version: "v1", Kind: "StorageClass", Resource: "storageclasses", Singular: "storageclass",
		ShortNames: []string{"sc"},
		New:        func() api.Object { return &storagev1.StorageClass{} },
		NewList:    func() runtime.Object { return &storagev1.StorageClassList{} },

		Default:        api.On(defaultClass),
		Validate:       api.Check(func(c *storagev1.StorageClass) field.ErrorList { return classErrors(c, nil) }),
		ValidateUpdate: api.CheckChange(classErrors),
		Warnings:       func(obj, _ api.Object) []string { return classWarnings(obj.(*storagev1.StorageClass)) },
		Unconditional:  true,
		ReturnsDeleted: true,
		Columns:        classColumns(),
		Row:            func(obj api.Object) []any { return classRow(obj.(*storagev1.StorageClass), "") },
		RowIn: func(list []api.Object) func(api.Object) []any {
			def := defaultOf(list)
			return func(obj api.Object) []any { return classRow(obj.(*storagev1.StorageClass), def) }
		},
	}
}

func defaultClass(c *storagev1.StorageClass) {
	setPtr(&c.ReclaimPolicy, corev1.PersistentVolumeReclaimDelete)
	setPtr(&c.VolumeBindingMode, storagev1.VolumeBindingImmediate)
}

// setPtr fills an optional field that is unset.
func setPtr[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// classErrors checks a class; old is nil for a new one. What upstream's generated rules say comes last.
func classErrors(c, old *storagev1.StorageClass) field.ErrorList {
	errs := valid.KubeFinalizers(c)
	provisioner := field.NewPath("provisioner")
	if c.Provisioner != "" {
		errs = append(errs, valid.QualifiedName(strings.ToLower(c.Provisioner), provisioner)...)
	}
	errs = append(errs, parameters(c.Parameters, false, field.NewPath("parameters"))...)
	if p := c.ReclaimPolicy; p != nil && *p != "" {
		errs = append(errs, valid.OneOf(*p, field.NewPath("reclaimPolicy"), corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRetain)...)
	}
	if m := c.VolumeBindingMode; m == nil {
		errs = append(errs, field.Required(field.NewPath("volumeBindingMode"), ""))
	} else {
		errs = append(errs, valid.OneOf(*m, field.NewPath("volumeBindingMode"), storagev1.VolumeBindingImmediate, storagev1.VolumeBindingWaitForFirstConsumer)...)
	}
	errs = append(errs, topologies(c.AllowedTopologies, field.NewPath("allowedTopologies"))...)
	if old != nil {
		errs = append(errs, valid.KubeFinalizers(c)...)
	}
	if c.Provisioner == "" && (old == nil || old.Provisioner != "") {
		errs = append(errs, field.Required(provisioner, ""))
	}
	if old == nil {
		return errs
	}
	fixed := func(name string, now, was any) {
		if !reflect.DeepEqual(now, was) {
			errs = append(errs, valid.DeclaredImmutable(field.NewPath(name)))
		}
	}
	fixed("provisioner", c.Provisioner, old.Provisioner)
	if len(c.Parameters)+len(old.Parameters) > 0 {
		fixed("parameters", c.Parameters, old.Parameters)
	}
	fixed("reclaimPolicy", c.ReclaimPolicy, old.ReclaimPolicy)
	fixed("volumeBindingMode", c.VolumeBindingMode, old.VolumeBindingMode)
	return errs
}

const (
	mostParameters     = 512
	mostParameterBytes = 256 << 10
)

// parameters checks what is handed to a driver: no key is empty, and all together are of a bearable size.
func parameters(list map[string]string, required bool, path *field.Path) field.ErrorList {
	if len(list) > mostParameters {
		return field.ErrorList{field.TooLong(path, "", mostParameters)}
	}
	var errs field.ErrorList
	size := 0
	for k, v := range list {
		if k == "" {
			errs = append(errs, field.Invalid(path, k, "field can not be empty."))
		}
		size += len(k) + len(v)
	}
	if size > mostParameterBytes {
		errs = append(errs, field.TooLong(path, "", mostParameterBytes))
	}
	if required && len(list) == 0 {
		errs = append(errs, field.Required(path, "must contain at least one key/value pair"))
	}
	return errs
}

// topologies checks where volumes of a class may be made: no two terms may say the same, nor may a term name a key twice.
func topologies(terms []corev1.TopologySelectorTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := make([]map[string][]string, len(terms)) // upstream's slip: a term without expressions is equal to each of these
	for i, term := range terms {
		values := map[string][]string{}
		for j, e := range term.MatchLabelExpressions {
			at := path.Index(i).Child("matchLabelExpressions").Index(j)
			errs = append(errs, topologyRequirement(e, at)...)
			if _, twice := values[e.Key]; twice {
				errs = append(errs, field.Duplicate(at.Child("key"), e.Key))
			}
			values[e.Key] = slices.Compact(slices.Sorted(slices.Values(e.Values)))
		}
		for _, other := range seen {
			if maps.EqualFunc(values, other, slices.Equal[[]string]) {
				errs = append(errs, field.Duplicate(path.Index(i).Child("matchLabelExpressions"), ""))
			}
		}
		seen = append(seen, values)
	}
	return errs
}

func topologyRequirement(r corev1.TopologySelectorLabelRequirement, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Values) == 0 {
		errs = append(errs, field.Required(path.Child("values"), ""))
	}
	for i, v := range r.Values {
		if slices.Contains(r.Values[:i], v) {
			errs = append(errs, field.Duplicate(path.Child("values").Index(i), v))
		}
	}
	return append(errs, metavalidation.ValidateLabelName(r.Key, path.Child("key"))...)
}

func classWarnings(c *storagev1.StorageClass) []string {
	var out []string
	for i, term := range c.AllowedTopologies {
		for j, e := range term.MatchLabelExpressions {
			if msg := core.DeprecatedNodeLabel(e.Key); msg != "" {
				out = append(out, field.NewPath("allowedTopologies").Index(i).Child("matchLabelExpressions").Index(j).Child("key").String()+": "+msg)
			}
		}
	}
	return out
}

func classColumns() []metav1.TableColumnDefinition {
	doc := storagev1.StorageClass{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Provisioner", "string", doc["provisioner"]),
		api.Column("ReclaimPolicy", "string", doc["reclaimPolicy"]),
		api.Column("VolumeBindingMode", "string", doc["volumeBindingMode"]),
		api.Column("AllowVolumeExpansion", "string", doc["allowVolumeExpansion"]),
		api.AgeColumn(),
	}
}

// classRow marks the class named def.
func classRow(c *storagev1.StorageClass, def string) []any {
	policy, mode := corev1.PersistentVolumeReclaimDelete, storagev1.VolumeBindingImmediate
	if c.ReclaimPolicy != nil {
		policy = *c.ReclaimPolicy
	}
	if c.VolumeBindingMode != nil {
		mode = *c.VolumeBindingMode
	}
	name := c.Name
	if def != "" && name == def {
		name += " (default)"
	}
	return []any{name, c.Provisioner, string(policy), string(mode), yes(c.AllowVolumeExpansion), c.CreationTimestamp}
}

// defaultOf names the class among those of a list that claims without one get: the newest of those that say they are it, and of
// equally old ones the first by name; "" where there is none.
func defaultOf(list []api.Object) string {
	var best *storagev1.StorageClass
	for _, obj := range list {
		if c, ok := obj.(*storagev1.StorageClass); ok && IsDefaultClass(c) && (best == nil || Before(c, best)) {
			best = c
		}
	}
	if best == nil {
		return ""
	}
	return best.Name
}

// Before tells whether a goes before b among classes that are both the default.
func Before(a, b *storagev1.StorageClass) bool {
	if a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.Name < b.Name
	}
	return a.CreationTimestamp.After(b.CreationTimestamp.Time)
}

// IsDefaultClass tells whether a class says that claims which name none get it.
func IsDefaultClass(c *storagev1.StorageClass) bool {
	return c.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" || c.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
}

// yes reads an optional boolean that is false by default.
func yes(b *bool) bool { return b != nil && *b }
