package node

import (
	"maps"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/api/valid"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// RuntimeClasses is the kind RuntimeClass.
func RuntimeClasses() *api.Kind {
	return &api.Kind{
		Group: nodev1.GroupName, Version: "v1", Kind: "RuntimeClass", Resource: "runtimeclasses", Singular: "runtimeclass",
		New:     func() api.Object { return &nodev1.RuntimeClass{} },
		NewList: func() runtime.Object { return &nodev1.RuntimeClassList{} },

		Validate:       api.Check(func(c *nodev1.RuntimeClass) field.ErrorList { return checkClass(c, nil) }),
		ValidateUpdate: api.CheckChange(checkClass),
		Warnings:       func(obj, _ api.Object) []string { return classWarnings(obj.(*nodev1.RuntimeClass)) },
		CreateOnUpdate: true,
		Columns: []metav1.TableColumnDefinition{
			api.NameColumn(),
			api.Column("Handler", "string", ""), // upstream looks for its words in the wrong type
			api.AgeColumn(),
		},
		Row: api.Cells(func(c *nodev1.RuntimeClass) []any { return []any{c.Name, c.Handler, c.CreationTimestamp} }),
	}
}

// checkClass checks a class; old is nil on create.
func checkClass(c, old *nodev1.RuntimeClass) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("handler")
	changed := old == nil || c.Handler != old.Handler
	var shape field.ErrorList
	switch {
	case changed && c.Handler == "":
		shape = append(shape, field.Required(at, ""))
	case changed:
		shape = valid.Messages(at, c.Handler, apivalidation.NameIsDNSLabel(c.Handler, false))
	}
	if old != nil && c.Handler != "" { // upstream's rule for a change asks for the name's shape first
		errs, shape = shape, nil
	}
	if c.Overhead != nil {
		errs = append(errs, valid.ContainerLimits(c.Overhead.PodFixed, field.NewPath("overhead"))...)
	}
	if s := c.Scheduling; s != nil {
		path := field.NewPath("scheduling")
		errs = append(errs, valid.Labels(s.NodeSelector, path.Child("nodeSelector"))...)
		errs = append(errs, checkTolerations(s.Tolerations, path.Child("tolerations"))...)
	}
	if changed && old != nil { // upstream's generated rules speak last
		errs = append(errs, field.Invalid(at, nil, "field is immutable"))
	}
	return append(errs, shape...)
}

func checkTolerations(list []corev1.Toleration, path *field.Path) field.ErrorList {
	errs := valid.Tolerations(list, path)
	type key struct{ key, value, operator, effect string }
	seen := map[key]bool{}
	for i, t := range list {
		k := key{t.Key, t.Value, string(t.Operator), string(t.Effect)}
		if seen[k] {
			errs = append(errs, field.Duplicate(path.Index(i), valid.Internal(t)))
		}
		seen[k] = true
	}
	return errs
}

func classWarnings(c *nodev1.RuntimeClass) []string {
	if c.Scheduling == nil {
		return nil
	}
	var out []string
	for _, key := range slices.Sorted(maps.Keys(c.Scheduling.NodeSelector)) {
		if msg := core.DeprecatedNodeLabel(key); msg != "" {
			out = append(out, "scheduling.nodeSelector: "+msg)
		}
	}
	return out
}
