package apply

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"slices"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
)

// appendShape appends the shape of an object to b: all that the paths of its fields follow from. That is which fields are
// empty and, since the elements of a list may be told apart by values, the values in lists; the keys of maps as well, but not
// their values, nor those of fields. Objects of one type and one shape have the same set of fields under any schema of theirs.
func appendShape(b []byte, obj api.Object) ([]byte, error) {
	return shape(b, reflect.ValueOf(obj).Elem(), false)
}

var marshalerType = reflect.TypeFor[json.Marshaler]()

// class is how the shape of a type is made.
type class uint8

const (
	ofScalar  class = iota + 1
	ofPointer       // to anything
	ofStruct
	ofSlice
	ofMap
	ofContent // all of it
)

func classOf(t reflect.Type) class {
	switch {
	case scalars[t]:
		return ofScalar
	case t.Implements(marshalerType) || reflect.PointerTo(t).Implements(marshalerType):
		return ofContent
	}
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64, reflect.Float64:
		return ofScalar
	case reflect.Pointer:
		return ofPointer
	case reflect.Struct:
		return ofStruct
	case reflect.Slice:
		return ofSlice
	case reflect.Map:
		return ofMap
	}
	return ofContent
}

// shape appends the shape of a value; listed says that it is directly an element of a list.
func shape(b []byte, v reflect.Value, listed bool) ([]byte, error) {
	return shapeOf(b, v, classOf(v.Type()), listed)
}

func shapeOf(b []byte, v reflect.Value, c class, listed bool) ([]byte, error) {
	switch c {
	case ofScalar:
		return scalarShape(b, v, listed)
	case ofPointer:
		if v.IsNil() {
			return append(b, '0'), nil
		}
		return shape(append(b, '*'), v.Elem(), listed)
	case ofStruct:
		var err error
		fields := fieldsOf(v.Type())
		for i := range fields {
			f := &fields[i]
			if b, err = shapeOf(b, v.Field(i), f.class, listed && (f.name == "" || f.scalar)); err != nil {
				return b, err
			}
		}
		return b, nil
	case ofSlice:
		return sliceShape(b, v)
	case ofMap:
		return mapShape(b, v)
	}
	return contentShape(b, v)
}

func isScalar(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		return isScalar(t.Elem())
	}
	return classOf(t) == ofScalar
}

func scalarShape(b []byte, v reflect.Value, listed bool) ([]byte, error) {
	switch {
	case v.IsZero():
		return append(b, '0'), nil
	case !listed:
		return append(b, '1'), nil
	case v.Kind() == reflect.String:
		return appendBytes(append(b, '='), v.String()), nil
	}
	return contentShape(b, v)
}

// atomic are the types of elements of lists that every schema has as one value: what is in such a list is no part of a shape. Each pod of
// a DaemonSet names its own node in one.
var atomic = map[reflect.Type]bool{reflect.TypeFor[corev1.NodeSelectorTerm](): true}

func sliceShape(b []byte, v reflect.Value) ([]byte, error) {
	if v.IsNil() {
		return append(b, '0'), nil
	}
	if atomic[v.Type().Elem()] {
		return append(b, '[', byte(min(v.Len(), 1))), nil
	}
	b = binary.AppendUvarint(append(b, '['), uint64(v.Len()))
	if v.Type().Elem().Kind() == reflect.Uint8 {
		return b, nil // one value in JSON
	}
	var err error
	for i := range v.Len() {
		if b, err = shape(b, v.Index(i), true); err != nil {
			return b, err
		}
	}
	return b, nil
}

func mapShape(b []byte, v reflect.Value) ([]byte, error) {
	switch {
	case v.IsNil():
		return append(b, '0'), nil
	case v.Type().Key().Kind() != reflect.String:
		return contentShape(b, v)
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
	b = binary.AppendUvarint(append(b, '{'), uint64(len(keys)))
	var err error
	for _, k := range keys {
		b = appendBytes(b, k.String())
		if b, err = shape(b, v.MapIndex(k), false); err != nil {
			return b, err
		}
	}
	return b, nil
}

// contentShape appends all of a value.
func contentShape(b []byte, v reflect.Value) ([]byte, error) {
	data, err := json.Marshal(v.Interface())
	return appendBytes(append(b, '='), string(data)), err
}

func appendBytes(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}
