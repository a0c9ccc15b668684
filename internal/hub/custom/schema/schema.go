package schema

import (
	"fmt"
	"sync/atomic"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// Source returns the definition that a Schema is of, as it was when the Schema was made. It is frozen. The Schema asks whenever
// it has to make something anew, so that the definition need not be held decoded.
type Source func() (*apiextensionsv1.CustomResourceDefinition, error)

// Schema is what one version of a custom resource definition says about its objects. It may be used by many goroutines at once.
// Two that need the same part at once may both make it; one of the two is kept.
type Schema struct {
	source  Source
	version string

	structure atomic.Pointer[structure]
	rules     atomic.Pointer[rules]
}

// New makes the schema of a version of the definition that source returns. It asks nothing yet.
func New(source Source, version string) *Schema {
	return &Schema{source: source, version: version}
}

// Compile makes the schema of a version of a definition, which it holds on to, and makes all parts of it at once.
func Compile(crd *apiextensionsv1.CustomResourceDefinition, version string) (*Schema, error) {
	s := New(func() (*apiextensionsv1.CustomResourceDefinition, error) { return crd, nil }, version)
	if _, err := s.structured(); err != nil {
		return nil, err
	}
	_, err := s.checks()
	return s, err
}

// Drop forgets everything that was made of the definition. It is made again when it is needed.
func (s *Schema) Drop() {
	s.structure.Store(nil)
	s.rules.Store(nil)
}

// structure is what pruning and defaulting go by.
type structure struct {
	group, kind string
	// keepUnknown says that the definition is from a time when there were schemas that unknown fields are kept in.
	keepUnknown bool
	root        *schema.Structural // nil when the version has no schema
}

// rules is what validation goes by.
type rules struct {
	of         *structure
	apiVersion string
	namespaced bool
	whole      validation.SchemaValidator
	status     validation.SchemaValidator // of the status alone; nil when the version has no schema of it
	cel        *cel.Validator             // nil without rules
	scale      *apiextensionsv1.CustomResourceSubresourceScale
}

// errUnserved is what a client learns when a stored definition cannot be made sense of, in upstream's words.
func errUnserved(what string, err error) error {
	return fmt.Errorf("the server could not properly serve the CR %s: %w", what, err)
}

// find returns the version's entry of the definition.
func (s *Schema) find() (*apiextensionsv1.CustomResourceDefinition, *apiextensionsv1.CustomResourceDefinitionVersion, error) {
	crd, err := s.source()
	if err != nil {
		return nil, nil, err
	}
	for i := range crd.Spec.Versions {
		if v := &crd.Spec.Versions[i]; v.Name == s.version {
			return crd, v, nil
		}
	}
	return nil, nil, fmt.Errorf("%s has no version %s", crd.Name, s.version)
}

// internal converts a version's schema to the form that the libraries take; nil when it has none.
func internal(v *apiextensionsv1.CustomResourceDefinitionVersion) (*apiextensions.JSONSchemaProps, error) {
	if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
		return nil, nil
	}
	var out apiextensions.CustomResourceValidation
	if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, &out, nil); err != nil {
		return nil, errUnserved("schema", err)
	}
	return out.OpenAPIV3Schema, nil
}

// structured returns what pruning and defaulting go by.
func (s *Schema) structured() (*structure, error) {
	if st := s.structure.Load(); st != nil {
		return st, nil
	}
	crd, v, err := s.find()
	if err != nil {
		return nil, err
	}
	st := &structure{group: crd.Spec.Group, kind: crd.Spec.Names.Kind, keepUnknown: crd.Spec.PreserveUnknownFields}
	props, err := internal(v)
	if err != nil {
		return nil, err
	}
	if props != nil {
		root, err := schema.NewStructural(props)
		switch {
		case err == nil:
			st.root = root.DeepCopy() // defaults are shared with the definition, and pruned next
		case !st.keepUnknown:
			return nil, errUnserved("schema", err)
		}
	}
	if !st.keepUnknown && st.root != nil {
		if err := defaulting.PruneDefaults(st.root); err != nil {
			return nil, errUnserved("schema", err)
		}
	}
	s.structure.CompareAndSwap(nil, st)
	return st, nil
}

// checks returns what validation goes by.
func (s *Schema) checks() (*rules, error) {
	if r := s.rules.Load(); r != nil {
		return r, nil
	}
	st, err := s.structured()
	if err != nil {
		return nil, err
	}
	crd, v, err := s.find()
	if err != nil {
		return nil, err
	}
	props, err := internal(v)
	if err != nil {
		return nil, err
	}
	r := &rules{
		of: st, apiVersion: crd.Spec.Group + "/" + v.Name,
		namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
		cel:        cel.NewValidator(st.root, true, celconfig.PerCallLimit),
	}
	if r.whole, _, err = validation.NewSchemaValidator(props); err != nil {
		return nil, err
	}
	if v.Subresources != nil {
		r.scale = v.Subresources.Scale
		if status, ok := propertyOf(props, "status"); ok && v.Subresources.Status != nil {
			if r.status, _, err = validation.NewSchemaValidator(&status); err != nil {
				return nil, err
			}
		}
	}
	s.rules.CompareAndSwap(nil, r)
	return r, nil
}

func propertyOf(props *apiextensions.JSONSchemaProps, name string) (apiextensions.JSONSchemaProps, bool) {
	if props == nil {
		return apiextensions.JSONSchemaProps{}, false
	}
	p, ok := props.Properties[name]
	return p, ok
}
