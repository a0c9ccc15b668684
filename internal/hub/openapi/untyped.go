package openapi

import (
	"slices"
	"strings"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// untypedName is the name of the definition of a kind that has no Go type: that of its group read backwards, its version and its
// kind, as upstream names those of custom resources.
func untypedName(gvk schema.GroupVersionKind) string {
	parts := strings.Split(gvk.Group, ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, gvk.Version, gvk.Kind), ".")
}

// untyped are the definitions of kinds that have no Go type: objects with metadata, of which nothing else is known.
func untyped(kinds *api.Kinds, into map[string]node) {
	for _, k := range kinds.All() {
		gvk := k.GVK()
		if api.Scheme.Recognizes(gvk) {
			continue
		}
		name := untypedName(gvk)
		into[name] = withMeta(gvk, "ObjectMeta", nil)
		gvk.Kind += "List"
		into[name+"List"] = withMeta(gvk, "ListMeta", node{"type": "array", "items": node{"$ref": refV3 + name}})
	}
}

// withMeta is the definition of an object, or, with items, of a list.
func withMeta(gvk schema.GroupVersionKind, meta string, items node) node {
	properties := node{
		"apiVersion": node{"type": "string"}, "kind": node{"type": "string"},
		"metadata": node{"allOf": []any{node{"$ref": refV3 + metaPrefix + meta}}, "default": node{}},
	}
	out := node{
		"type": "object", "properties": properties,
		"x-kubernetes-group-version-kind": []any{node{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}},
	}
	if items != nil {
		properties["items"], out["required"] = items, []any{"items"}
	} else {
		out["x-kubernetes-preserve-unknown-fields"] = true
	}
	return out
}
