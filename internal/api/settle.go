package api

import (
	"reflect"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Settle makes obj what anybody else reads of it, who decodes its stored bytes. The encodings do not carry everything that a
// Go value can hold: of a Time nothing below a second, of a MicroTime nothing below a microsecond, no reading of the monotonic
// clock and no zone, and no difference between a list or map that is empty and one that is nil: both come back nil, or empty where they are
// the value of a map. It changes obj only where there is something to
// drop, so that parts which obj shares with a frozen object, settled before, are not written to.
func Settle(obj Object) {
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return
	}
	if settle := settlerOf(v.Type().Elem()); settle != nil {
		settle(v.Elem())
	}
}

// settler settles a value that can be set.
type settler func(reflect.Value)

var (
	timeType      = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()
	bytesType     = reflect.TypeFor[[]byte]()

	// asTheyAre encode themselves and lose nothing: their bytes come back nil or empty as they were.
	asTheyAre = map[reflect.Type]bool{reflect.TypeFor[runtime.RawExtension](): true, reflect.TypeFor[metav1.FieldsV1](): true}

	settlers sync.Map // reflect.Type -> settler, nil where nothing can be lost
)

func settlerOf(t reflect.Type) settler {
	if s, ok := settlers.Load(t); ok {
		return s.(settler)
	}
	s := makeSettler(t, map[reflect.Type]bool{})
	settlers.Store(t, s)
	return s
}

// makeSettler makes the settler of a type, nil if there is nothing to lose. A type that contains itself is not followed into
// itself.
func makeSettler(t reflect.Type, above map[reflect.Type]bool) settler {
	switch t {
	case timeType:
		return func(v reflect.Value) { round(&v.Addr().Interface().(*metav1.Time).Time, time.Second) }
	case microTimeType:
		return func(v reflect.Value) { round(&v.Addr().Interface().(*metav1.MicroTime).Time, time.Microsecond) }
	case bytesType:
		return nil // an optional field of bytes is either there or not
	}
	if above[t] || asTheyAre[t] {
		return nil
	}
	above[t] = true
	defer delete(above, t)
	switch t.Kind() {
	case reflect.Struct:
		return structSettler(t, above)
	case reflect.Pointer:
		if in := makeSettler(t.Elem(), above); in != nil {
			return func(v reflect.Value) {
				if !v.IsNil() {
					in(v.Elem())
				}
			}
		}
	case reflect.Slice:
		return sliceSettler(makeSettler(t.Elem(), above))
	case reflect.Map:
		return mapSettler(t.Elem(), makeSettler(t.Elem(), above))
	}
	return nil
}

// sliceSettler settles lists whose items are settled by in, which may be nil.
func sliceSettler(in settler) settler {
	return func(v reflect.Value) {
		n := v.Len()
		if n == 0 {
			if !v.IsNil() {
				v.SetZero()
			}
			return
		}
		if in != nil {
			for i := range n {
				in(v.Index(i))
			}
		}
	}
}

// mapSettler settles maps of elem, whose values are settled by in, which may be nil.
func mapSettler(elem reflect.Type, in settler) settler {
	if elem.Kind() == reflect.Slice {
		items := makeSettler(elem.Elem(), map[reflect.Type]bool{})
		in = func(v reflect.Value) {
			if v.IsNil() {
				v.Set(reflect.MakeSlice(elem, 0, 0))
			}
			for i := 0; items != nil && i < v.Len(); i++ {
				items(v.Index(i))
			}
		}
	}
	return func(v reflect.Value) {
		if v.Len() == 0 {
			if !v.IsNil() {
				v.SetZero()
			}
			return
		}
		if in == nil {
			return
		}
		for it := v.MapRange(); it.Next(); {
			was := it.Value()
			is := reflect.New(elem).Elem() // what stands in a map cannot be set
			is.Set(was)
			if in(is); !reflect.DeepEqual(is.Interface(), was.Interface()) {
				v.SetMapIndex(it.Key(), is)
			}
		}
	}
}

func structSettler(t reflect.Type, above map[reflect.Type]bool) settler {
	type part struct {
		field  int
		settle settler
	}
	var parts []part
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			if in := makeSettler(f.Type, above); in != nil {
				parts = append(parts, part{i, in})
			}
		}
	}
	if parts == nil {
		return nil
	}
	return func(v reflect.Value) {
		for _, p := range parts {
			p.settle(v.Field(p.field))
		}
	}
}

// round writes only where there is something to drop. Decoded times are local.
func round(t *time.Time, unit time.Duration) {
	if t.Nanosecond()%int(unit) != 0 {
		*t = t.Truncate(unit)
	}
	if t.Location() != time.Local && !t.IsZero() {
		*t = t.Local()
	}
}
