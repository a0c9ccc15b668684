package schema

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	formats "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apivalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// CRDWarnings are what a client is told about a definition that is accepted, but for what old, nil for a new one, had already.
func CRDWarnings(crd, old *apiextensionsv1.CustomResourceDefinition) []string {
	unknown, lists := oddities(crd)
	if old != nil {
		unknownBefore, listsBefore := oddities(old)
		unknown = slices.DeleteFunc(unknown, func(w string) bool { return slices.Contains(unknownBefore, w) })
		lists = slices.DeleteFunc(lists, func(w string) bool { return slices.Contains(listsBefore, w) })
	}
	return append(unknown, lists...)
}

// oddities are the warnings about formats, in the order of the schemas and as often as they are there, and about lists, sorted.
func oddities(crd *apiextensionsv1.CustomResourceDefinition) (unknown, lists []string) {
	in, err := bare(crd)
	if err != nil {
		return nil, nil // what cannot be converted is refused by ValidateCRD
	}
	look := func(s *apiextensions.JSONSchemaProps) bool {
		if s.Format != "" {
			of := &spec.Schema{SchemaProps: spec.SchemaProps{Format: s.Format, Type: []string{s.Type}}}
			for _, f := range formats.GetUnrecognizedFormats(of, environment.DefaultCompatibilityVersion()) {
				unknown = append(unknown, fmt.Sprintf("unrecognized format %q", f))
			}
		}
		if s.XListType != nil && *s.XListType == "set" && s.Items != nil && s.Items.Schema != nil {
			if t := s.Items.Schema.Type; t == "object" || t == "array" {
				lists = append(lists, fmt.Sprintf("x-kubernetes-list-type: set for items of type %q is not supported by server-side apply or CEL validation rules", t))
			}
		}
		return false // go on
	}
	if in.Spec.Validation != nil && in.Spec.Validation.OpenAPIV3Schema != nil {
		validation.SchemaHas(in.Spec.Validation.OpenAPIV3Schema, look)
	}
	for _, v := range in.Spec.Versions {
		if v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
			validation.SchemaHas(v.Schema.OpenAPIV3Schema, look)
		}
	}
	slices.Sort(lists)
	return unknown, slices.Compact(lists)
}

// Warnings are what a client is told about the finalizers that a write gives a custom resource; old are those it had before.
func Warnings(finalizers, old []string) []string {
	added := slices.DeleteFunc(slices.Clone(finalizers), func(f string) bool { return slices.Contains(old, f) })
	slices.Sort(added)
	var out []string
	for _, f := range slices.Compact(added) {
		out = append(out, finalizerWarnings(f)...)
	}
	return out
}

// plainFinalizers are those without a domain that Kubernetes itself knows.
var plainFinalizers = []string{metav1.FinalizerOrphanDependents, metav1.FinalizerDeleteDependents, string(corev1.FinalizerKubernetes)}

func finalizerWarnings(name string) []string {
	const at = "metadata.finalizers"
	var out []string
	for _, msg := range apivalidation.IsQualifiedName(name) {
		out = append(out, fmt.Sprintf("%s: %q: %s", at, name, msg))
	}
	switch {
	case strings.Contains(name, "/") || slices.Contains(plainFinalizers, name):
	case strings.Contains(name, "."):
		out = append(out, fmt.Sprintf("%s: %q: prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers", at, name))
	default:
		out = append(out, fmt.Sprintf("%s: %q: prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers", at, name))
	}
	return out
}
