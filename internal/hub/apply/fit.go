package apply

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
)

// fits finds a number in a decoded document that does not fit the field of into that it is meant for: apimachinery's converter
// cuts off what is too wide, so that a patch of 4294967298 replicas would ask for two. Upstream lets that happen; a JSON merge
// patch with the same number is refused there, and this error has its words. What has no field is passed over.
func fits(doc map[string]any, into any) error {
	return fitsStruct(doc, reflect.TypeOf(into).Elem(), "")
}

var (
	jsonDecoder = reflect.TypeFor[json.Unmarshaler]()
	mapDecoder  = reflect.TypeFor[runtime.UnstructuredConverter]()
)

// fitsValue checks v against t; owner and path name the field for the error.
func fitsValue(v any, t reflect.Type, owner, path string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if p := reflect.PointerTo(t); p.Implements(jsonDecoder) || p.Implements(mapDecoder) {
		return nil // it decodes itself, and looks at the width
	}
	switch v := v.(type) {
	case map[string]any:
		switch t.Kind() {
		case reflect.Struct:
			return fitsStruct(v, t, path)
		case reflect.Map:
			for key, item := range v {
				if err := fitsValue(item, t.Elem(), owner, path+"."+key); err != nil {
					return err
				}
			}
		}
	case []any:
		if t.Kind() != reflect.Slice {
			return nil
		}
		for _, item := range v {
			if err := fitsValue(item, t.Elem(), owner, path); err != nil {
				return err
			}
		}
	case int64:
		if !holds(t, v) {
			return tooWide(strconv.FormatInt(v, 10), t, owner, path)
		}
	case float64:
		// Beyond 2^63 the conversion to an integer has no defined result.
		if v == math.Trunc(v) && (math.Abs(v) >= math.MaxInt64 && isInteger(t) || !holds(t, int64(v))) {
			return tooWide(strconv.FormatFloat(v, 'g', -1, 64), t, owner, path)
		}
	}
	return nil
}

func fitsStruct(doc map[string]any, t reflect.Type, path string) error {
	fields := fittedOf(t)
	for name, v := range doc {
		field, ok := fields[name]
		if !ok {
			continue
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		if err := fitsValue(v, field.is, field.owner, at); err != nil {
			return err
		}
	}
	return nil
}

// fitted is a field of a struct, or of one that is inlined in it.
type fitted struct {
	is    reflect.Type
	owner string // name of the struct that has it
}

var structs sync.Map // reflect.Type -> map[string]fitted, by the names in JSON

func fittedOf(t reflect.Type) map[string]fitted {
	if known, ok := structs.Load(t); ok {
		return known.(map[string]fitted)
	}
	out := map[string]fitted{}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.Anonymous || name != "" && !strings.Contains(options, "inline") {
			out[name] = fitted{f.Type, t.Name()}
		} else if f.Type.Kind() == reflect.Struct {
			for name, inlined := range fittedOf(f.Type) {
				if _, nearer := out[name]; !nearer {
					out[name] = inlined
				}
			}
		}
	}
	structs.Store(t, out)
	return out
}

func isInteger(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64
}

// holds reports whether a field of type t can hold v; true for what is no integer, whose mismatch others find.
func holds(t reflect.Type, v int64) bool {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return !t.OverflowInt(v)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v >= 0 && !t.OverflowUint(uint64(v))
	}
	return true
}

func tooWide(number string, t reflect.Type, owner, path string) error {
	return fmt.Errorf("json: cannot unmarshal number %s into Go struct field %s.%s of type %s", number, owner, path, t)
}
