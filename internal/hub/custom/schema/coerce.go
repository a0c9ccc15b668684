package schema

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apischema "k8s.io/apimachinery/pkg/runtime/schema"

	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
)

// Origin is where an object that is coerced comes from.
type Origin uint8

const (
	// Sent by a client: metadata that cannot be read is an error.
	Sent Origin = iota
	// Checked is Sent by a client that wants to know of unknown fields.
	Checked
	// Stored long ago, perhaps before metadata was checked: what cannot be read of it is dropped, and a generation is put in.
	Stored
)

// Coerce makes of a decoded object what a Go struct would make of it that the schema were the type of: metadata have their
// fields only, unknown fields are dropped, and so are nulls where none may be and nothing is put in by default. obj is changed.
// For a Checked object it returns the paths of what was dropped ("spec.x"), those of metadata first.
//
// An object of another kind is left alone, but for its metadata.
func (s *Schema) Coerce(obj map[string]any, from Origin) (unknown []string, err error) {
	kind, hasKind, err := unstructured.NestedString(obj, "kind")
	if err != nil {
		return nil, err
	}
	apiVersion, hasVersion, err := unstructured.NestedString(obj, "apiVersion")
	if err != nil {
		return nil, err
	}
	meta, hasMeta, unknown, err := objectmeta.GetObjectMetaWithOptions(obj, objectmeta.ObjectMetaOptions{
		DropMalformedFields: from == Stored, ReturnUnknownFieldPaths: from == Checked,
	})
	if err != nil {
		return nil, err
	}
	gv, err := apischema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, err
	}
	st, err := s.structured()
	if err != nil {
		return nil, err
	}
	if gv.Group == st.group && kind == st.kind {
		more, err := st.prune(obj, from)
		if err != nil {
			return nil, err
		}
		unknown = append(unknown, more...)
		if from == Stored {
			repair(meta)
		}
	}
	if hasKind {
		obj["kind"] = kind
	}
	if hasVersion {
		obj["apiVersion"] = apiVersion
	}
	if hasMeta {
		if err := objectmeta.SetObjectMeta(obj, meta); err != nil {
			return nil, err
		}
	}
	return unknown, nil
}

// Settle drops from an object the unknown fields and the nulls that Coerce would drop. Upstream does so when it stores an object: one
// that was applied, or changed by admission, is validated before. obj is changed, but no part of it that has nothing to drop: such a
// part may belong to a frozen object as well.
func (s *Schema) Settle(obj map[string]any) {
	st, err := s.structured()
	if err != nil || st.keepUnknown {
		return
	}
	pruning.Prune(obj, st.root, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(obj, st.root)
}

// prune does the part of Coerce that goes by the schema, for an object of the schema's kind.
func (st *structure) prune(obj map[string]any, from Origin) (unknown []string, err error) {
	if !st.keepUnknown {
		unknown = pruning.PruneWithOptions(obj, st.root, true, structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: from == Checked})
		defaulting.PruneNonNullableNullsWithoutDefaults(obj, st.root)
	}
	ferr, paths := objectmeta.CoerceWithOptions(nil, obj, st.root, false, objectmeta.CoerceOptions{
		DropInvalidFields: from == Stored, ReturnUnknownFieldPaths: from == Checked,
	})
	if ferr != nil { // no "return ferr": a nil *field.Error in an error is not nil
		return nil, fmt.Errorf("%w", ferr)
	}
	return append(unknown, paths...), nil
}

// repair gives an object from a time when custom resources had no generation its first.
func repair(meta *metav1.ObjectMeta) {
	if meta != nil && meta.Generation == 0 {
		meta.Generation = 1
	}
}

// Default puts in what the schema has for fields that are absent, or null where null may not be. obj is changed, and holds copies.
func (s *Schema) Default(obj map[string]any) error {
	st, err := s.structured()
	if err != nil {
		return err
	}
	defaulting.Default(obj, st.root)
	return nil
}
