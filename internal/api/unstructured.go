package api

import (
	"bytes"
	"fmt"
	"maps"
	"math"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// Unstructured is the codec of kinds that have no Go type. Their objects are *unstructured.Unstructured, and are stored as JSON,
// as upstream stores custom resources. They have no protobuf form.
type Unstructured struct{}

var _ Codec = Unstructured{}

// Encode implements Codec.
func (Unstructured) Encode(obj Object) ([]byte, error) {
	data, err := EncodeJSON(obj)
	if err != nil {
		return nil, fmt.Errorf("encode %s for storage: %w", obj.GetObjectKind().GroupVersionKind(), err)
	}
	return data, nil
}

// Decode implements Codec. The object has the apiVersion and kind that it was stored with.
func (Unstructured) Decode(data []byte, fresh Object) (Object, error) {
	u, ok := fresh.(*unstructured.Unstructured)
	if !ok {
		return nil, fmt.Errorf("decode stored: %T is not unstructured", fresh)
	}
	if bytes.HasPrefix(data, []byte("k8s\x00")) {
		return nil, fmt.Errorf("decode stored: a protobuf message where JSON was expected")
	}
	if err := u.UnmarshalJSON(data); err != nil {
		return nil, fmt.Errorf("decode stored: %w", err)
	}
	return u, nil
}

// Settle implements Codec. JSON has one kind of number: a float without a fraction comes back as an integer.
func (Unstructured) Settle(obj Object) {
	if u, ok := obj.(*unstructured.Unstructured); ok {
		settleMap(u.Object)
	}
}

func settleMap(m map[string]any) {
	for k, v := range m {
		if s, changed := settled(v); changed {
			m[k] = s
		}
	}
}

// settled returns what v comes back as, and whether that is another value. Maps and lists are changed in place.
func settled(v any) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		settleMap(v)
	case []any:
		for i := range v {
			if s, changed := settled(v[i]); changed {
				v[i] = s
			}
		}
	case float64:
		// Larger ones are written with an exponent, and are read as floats.
		if v == math.Trunc(v) && math.Abs(v) < 1e15 {
			return int64(v), true
		}
	}
	return nil, false
}

// Shallow implements Codec.
func (Unstructured) Shallow(obj Object) Object {
	u := obj.(*unstructured.Unstructured)
	out := &unstructured.Unstructured{Object: maps.Clone(u.Object)}
	if meta, ok := u.Object["metadata"].(map[string]any); ok {
		out.Object["metadata"] = maps.Clone(meta)
	}
	return out
}

// Drop implements Codec.
func (Unstructured) Drop(copied Object, field string) {
	delete(copied.(*unstructured.Unstructured).Object, field)
}

// Proto implements Codec.
func (Unstructured) Proto() bool { return false }

// JSON implements Codec.
func (Unstructured) JSON() bool { return true }

// Untyped returns functions for Kind.New and Kind.NewList of a kind without a Go type; listKind is as in Kind.
func Untyped(apiVersion, kind, listKind string) (func() Object, func() runtime.Object) {
	if listKind == "" {
		listKind = kind + "List"
	}
	fresh := func() Object {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetAPIVersion(apiVersion)
		u.SetKind(kind)
		return u
	}
	list := func() runtime.Object {
		l := &unstructured.UnstructuredList{Object: map[string]any{}}
		l.SetAPIVersion(apiVersion)
		l.SetKind(listKind)
		return l
	}
	return fresh, list
}
