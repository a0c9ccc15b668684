package schema

import (
	"slices"
	"strings"

	"sampan.dev/internal/api"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	openapiv2 "k8s.io/apiextensions-apiserver/pkg/controller/openapi/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const (
	metaRef = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

	kindsKey      = "x-kubernetes-group-version-kind"
	selectableKey = "x-kubernetes-selectable-fields"
	keepKey       = "x-kubernetes-preserve-unknown-fields"
	embeddedKey   = "x-kubernetes-embedded-resource"
)

// Model is what documents and managed fields are made of. id is that of the definition that the schema is of.
func (s *Schema) Model(id string, keepUnknown bool) *api.Model {
	return &api.Model{
		ID: id, KeepUnknown: keepUnknown,
		OpenAPI: func(version int) (*spec.Schema, error) { return s.published(version == 2, true) },
		Fields:  func() (*spec.Schema, error) { return s.published(false, false) },
	}
}

// published makes the schema as clients see it. A version without a schema, or with one that is not structural, is an object of
// which nothing is known, and so is for version 2 one that keeps unknown fields: kubectl would take what is named for all that
// there is.
func (s *Schema) published(v2, selectable bool) (*spec.Schema, error) {
	crd, v, err := s.find()
	if err != nil {
		return nil, err
	}
	root, err := publishable(v)
	if err != nil {
		return nil, err
	}
	out := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}}}
	if root != nil && !(v2 && (root.XPreserveUnknownFields || crd.Spec.PreserveUnknownFields)) {
		if v2 {
			root = openapiv2.ToStructuralOpenAPIV2(root)
		}
		out = root.ToKubeOpenAPI()
		setMeta(out)
		out.SetProperty("apiVersion", *spec.StringProperty().WithDescription(typeDocs["apiVersion"]))
		out.SetProperty("kind", *spec.StringProperty().WithDescription(typeDocs["kind"]))
		embed(out, v2)
	}
	out.AddExtension(kindsKey, []any{map[string]any{"group": crd.Spec.Group, "version": v.Name, "kind": crd.Spec.Names.Kind}})
	if fields := selectableFields(v); selectable && fields != nil {
		out.AddExtension(selectableKey, fields)
	}
	return out, nil
}

// publishable is the structural schema of a version with the value validations that clients know in the place of ours; nil for
// one that cannot be published.
func publishable(v *apiextensionsv1.CustomResourceDefinitionVersion) (*schema.Structural, error) {
	props, err := internal(v)
	if err != nil || props == nil || validation.SchemaHasInvalidTypes(props) {
		return nil, err
	}
	root, err := schema.NewStructural(props)
	if err != nil || len(schema.ValidateStructural(nil, root)) > 0 {
		return nil, nil
	}
	return root.Unfold(), nil
}

var (
	typeDocs     = metav1.TypeMeta{}.SwaggerDoc()
	metadataDocs = metav1.PartialObjectMetadata{}.SwaggerDoc()
)

// setMeta gives a schema the metadata of objects.
func setMeta(s *spec.Schema) {
	s.SetProperty("metadata", *spec.RefSchema(metaRef).WithDescription(metadataDocs["metadata"]))
}

// embed gives what is an object inside the object its apiVersion, kind and metadata. Version 2 leaves those alone that keep
// unknown fields.
func embed(s *spec.Schema, v2 bool) {
	if s == nil {
		return
	}
	for name, p := range s.Properties {
		embed(&p, v2)
		s.Properties[name] = p
	}
	if s.Items != nil {
		embed(s.Items.Schema, v2)
	}
	if s.AdditionalProperties != nil {
		embed(s.AdditionalProperties.Schema, v2)
	}
	keeps, _ := s.Extensions.GetBool(keepKey)
	embedded, _ := s.Extensions.GetBool(embeddedKey)
	if !embedded || keeps && v2 {
		return
	}
	s.SetProperty("apiVersion", *spec.StringProperty().WithDescription("apiVersion defines the versioned schema of this representation of an object. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"))
	s.SetProperty("kind", *spec.StringProperty().WithDescription("kind is a string value representing the type of this object. In CamelCase. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"))
	setMeta(s)
	for _, name := range []string{"kind", "apiVersion"} {
		if !slices.Contains(s.Required, name) {
			s.Required = append(s.Required, name)
		}
	}
}

func selectableFields(v *apiextensionsv1.CustomResourceDefinitionVersion) []any {
	var out []any
	for _, f := range v.SelectableFields {
		out = append(out, map[string]any{"fieldPath": strings.TrimPrefix(f.JSONPath, ".")})
	}
	return out
}
