package apiextensions

import (
	"fmt"
	"slices"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	formats "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Warnings are what a client is told about a definition that is accepted, but for what old, nil for a new one, had already.
func Warnings(crd, old *Definition) []string {
	unknown, lists := oddities(crd)
	if old != nil {
		unknownBefore, listsBefore := oddities(old)
		unknown = slices.DeleteFunc(unknown, func(w string) bool { return slices.Contains(unknownBefore, w) })
		lists = slices.DeleteFunc(lists, func(w string) bool { return slices.Contains(listsBefore, w) })
	}
	return append(unknown, lists...)
}

// oddities are the warnings about formats, in the order of the schemas and as often as they are there, and about lists, sorted.
func oddities(crd *Definition) (unknown, lists []string) {
	var in apiextensions.CustomResourceDefinitionSpec // shares what crd has, and is only read
	if apiextensionsv1.Convert_v1_CustomResourceDefinitionSpec_To_apiextensions_CustomResourceDefinitionSpec(&crd.Spec, &in, nil) != nil {
		return nil, nil // what cannot be converted is refused by Validate
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
	if in.Validation != nil && in.Validation.OpenAPIV3Schema != nil {
		validation.SchemaHas(in.Validation.OpenAPIV3Schema, look)
	}
	for _, v := range in.Versions {
		if v.Schema != nil && v.Schema.OpenAPIV3Schema != nil {
			validation.SchemaHas(v.Schema.OpenAPIV3Schema, look)
		}
	}
	slices.Sort(lists)
	return unknown, slices.Compact(lists)
}
