package valid

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/util/diff"
)

// Internal is v in JSON as an API server of upstream's shows it in a message: there the types of k8s.io/api have twins without
// JSON names, so fields go by their Go names and empty ones are not left out. Types of k8s.io/apimachinery have no twins and
// look as ever.
func Internal(v any) json.RawMessage {
	var b bytes.Buffer
	if v == nil {
		return json.RawMessage("null")
	}
	if err := internal(&b, reflect.ValueOf(v)); err != nil {
		return json.RawMessage("null")
	}
	return b.Bytes()
}

// InternalDiff compares two values in the form of Internal, as upstream does for specs that may not change.
func InternalDiff(old, now any) string { return diff.Diff(Internal(old), Internal(now)) }

func internal(b *bytes.Buffer, v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("null")
			return nil
		}
		return internal(b, v.Elem())
	case reflect.Struct:
		if strings.HasPrefix(v.Type().PkgPath(), "k8s.io/api/") {
			b.WriteByte('{')
			if err := internalFields(b, v); err != nil {
				return err
			}
			b.WriteByte('}')
			return nil
		}
	case reflect.Slice:
		if !v.IsNil() && v.Type().Elem().Kind() != reflect.Uint8 {
			b.WriteByte('[')
			for i := range v.Len() {
				if i > 0 {
					b.WriteByte(',')
				}
				if err := internal(b, v.Index(i)); err != nil {
					return err
				}
			}
			b.WriteByte(']')
			return nil
		}
	case reflect.Map:
		if !v.IsNil() {
			return internalMap(b, v)
		}
	}
	data, err := json.Marshal(v.Interface())
	b.Write(data)
	return err
}

// internalFields writes the fields of a struct; those of an embedded one stand beside them.
func internalFields(b *bytes.Buffer, v reflect.Value) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if last := b.Bytes()[b.Len()-1]; last != '{' && last != ',' {
			b.WriteByte(',')
		}
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			if err := internalEmbedded(b, v.Field(i)); err != nil {
				return err
			}
			continue
		}
		b.WriteString(`"` + f.Name + `":`)
		if err := internal(b, v.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

// internalEmbedded writes the fields of an embedded struct; those of metadata have their JSON names.
func internalEmbedded(b *bytes.Buffer, v reflect.Value) error {
	if strings.HasPrefix(v.Type().PkgPath(), "k8s.io/api/") {
		return internalFields(b, v)
	}
	data, err := json.Marshal(v.Interface())
	if fields := bytes.Trim(data, "{}"); len(fields) > 0 {
		b.Write(data[1 : len(data)-1])
	} else if last := b.Len() - 1; b.Bytes()[last] == ',' {
		b.Truncate(last) // there is nothing that the comma stands before
	}
	return err
}

func internalMap(b *bytes.Buffer, v reflect.Value) error {
	values := make(map[string]json.RawMessage, v.Len())
	for it := v.MapRange(); it.Next(); {
		var value bytes.Buffer
		if err := internal(&value, it.Value()); err != nil {
			return err
		}
		values[it.Key().String()] = value.Bytes()
	}
	data, err := json.Marshal(values) // in the order of the keys
	b.Write(data)
	return err
}
