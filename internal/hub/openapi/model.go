package openapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// untypedName is the name of the definition of a kind that has no Go type: that of its group read backwards, its version and its
// kind, as upstream names those of custom resources.
func untypedName(gvk schema.GroupVersionKind) string {
	parts := strings.Split(gvk.Group, ".")
	slices.Reverse(parts)
	return strings.Join(append(parts, gvk.Version, gvk.Kind), ".")
}

// listKind is the kind of a list of objects of k.
func listKind(k *api.Kind) string {
	if k.NewList != nil {
		if kind := k.NewList().GetObjectKind().GroupVersionKind().Kind; kind != "" {
			return kind
		}
	}
	return k.Kind + "List"
}

// modelDefs are the definitions of kinds that have no Go type, and of their lists, by name.
type modelDefs map[string]node

func (m modelDefs) find(name string) node { return m[name] }

// modelled makes the definitions of those of kinds that have no Go type, in the form of OpenAPI version 2 or 3.
func modelled(kinds []*api.Kind, version int) (modelDefs, error) {
	out := modelDefs{}
	for _, k := range kinds {
		if typed(k) {
			continue
		}
		def, err := modelOf(k, version)
		if err != nil {
			return nil, fmt.Errorf("model of %s: %w", k.GVK(), err)
		}
		out[untypedName(k.GVK())] = wrapped(def)
		if k.NewList != nil {
			out[listName(k)] = listOf(k, def)
		}
	}
	return out, nil
}

func listName(k *api.Kind) string {
	gvk := k.GVK()
	gvk.Kind = listKind(k)
	return untypedName(gvk)
}

// modelOf is the definition of an object. Of a kind without a model it says only that there are metadata.
func modelOf(k *api.Kind, version int) (node, error) {
	if k.Model == nil {
		return node{
			"type": "object", "x-kubernetes-preserve-unknown-fields": true, kindsKey: []any{kindNode(k.GVK())},
			"properties": node{
				"apiVersion": documented(node{"type": "string"}, typeDocs["apiVersion"]),
				"kind":       documented(node{"type": "string"}, typeDocs["kind"]),
				"metadata":   metaOf("ObjectMeta", metav1.PartialObjectMetadata{}.SwaggerDoc()["metadata"]),
			},
		}, nil
	}
	s, err := k.Model.OpenAPI(version)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	var def node
	return def, json.Unmarshal(data, &def)
}

// listOf is the definition of a list of objects that def defines.
func listOf(k *api.Kind, def node) node {
	gvk := k.GVK()
	gvk.Kind = listKind(k)
	items := documented(node{"type": "array", "items": node{"$ref": refV3 + untypedName(k.GVK())}},
		"List of "+k.Resource+". More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md")
	out := node{
		"type": "object", "description": gvk.Kind + " is a list of " + k.Kind, "required": []any{"items"},
		kindsKey: []any{kindNode(gvk)},
		"properties": node{
			"apiVersion": documented(node{"type": "string"}, typeDocs["apiVersion"]),
			"kind":       documented(node{"type": "string"}, typeDocs["kind"]),
			"metadata":   metaOf("ListMeta", metav1.PartialObjectMetadataList{}.SwaggerDoc()["metadata"]),
			"items":      items,
		},
	}
	if fields := def[selectableKey]; fields != nil {
		out[selectableKey] = fields
	}
	return out
}

const (
	kindsKey      = "x-kubernetes-group-version-kind"
	selectableKey = "x-kubernetes-selectable-fields"
)

var typeDocs = metav1.TypeMeta{}.SwaggerDoc()

func kindNode(gvk schema.GroupVersionKind) node {
	return node{"group": gvk.Group, "version": gvk.Version, "kind": gvk.Kind}
}

func documented(n node, doc string) node {
	n["description"] = doc
	return n
}

func metaOf(name, doc string) node {
	return documented(node{"allOf": []any{node{"$ref": refV3 + metaPrefix + name}}}, doc)
}

// wrapped puts references that have something beside them into an allOf, which is how version 3 writes that. def is changed.
func wrapped(def node) node {
	if ref, ok := def["$ref"]; ok && len(def) > 1 {
		delete(def, "$ref")
		def["allOf"] = []any{node{"$ref": ref}}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner, ok := def[key].(node); ok {
			wrapped(inner)
		}
	}
	props, _ := def["properties"].(node)
	for _, p := range props {
		wrapped(p.(node))
	}
	return def
}
