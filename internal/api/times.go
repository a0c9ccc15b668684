package api

import (
	"reflect"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RoundTimes drops from the times in an object what its encodings do not carry: of a Time all below a second, of a MicroTime
// all below a microsecond, and the reading of the monotonic clock. An object that was written in process is then equal to what
// anybody else reads of it. It changes obj only where there is something to drop.
func RoundTimes(obj Object) {
	v := reflect.ValueOf(obj)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return
	}
	if round := rounderOf(v.Type().Elem()); round != nil {
		round(v.Elem())
	}
}

// rounder rounds the times in a value that can be set.
type rounder func(reflect.Value)

var (
	timeType      = reflect.TypeFor[metav1.Time]()
	microTimeType = reflect.TypeFor[metav1.MicroTime]()

	rounders sync.Map // reflect.Type -> rounder, nil where the type has no times
)

func rounderOf(t reflect.Type) rounder {
	if r, ok := rounders.Load(t); ok {
		return r.(rounder)
	}
	r := makeRounder(t, map[reflect.Type]bool{})
	rounders.Store(t, r)
	return r
}

// makeRounder makes the rounder of a type, nil if there is nothing to round. A type that contains itself is not followed into
// itself: none of ours has times there.
func makeRounder(t reflect.Type, above map[reflect.Type]bool) rounder {
	switch t {
	case timeType:
		return func(v reflect.Value) { round(&v.Addr().Interface().(*metav1.Time).Time, time.Second) }
	case microTimeType:
		return func(v reflect.Value) { round(&v.Addr().Interface().(*metav1.MicroTime).Time, time.Microsecond) }
	}
	if above[t] {
		return nil
	}
	above[t] = true
	defer delete(above, t)
	switch t.Kind() {
	case reflect.Struct:
		return structRounder(t, above)
	case reflect.Pointer:
		if in := makeRounder(t.Elem(), above); in != nil {
			return func(v reflect.Value) {
				if !v.IsNil() {
					in(v.Elem())
				}
			}
		}
	case reflect.Slice:
		if in := makeRounder(t.Elem(), above); in != nil {
			return func(v reflect.Value) {
				for i := range v.Len() {
					in(v.Index(i))
				}
			}
		}
	case reflect.Map:
		if in := makeRounder(t.Elem(), above); in != nil {
			return func(v reflect.Value) {
				for it := v.MapRange(); it.Next(); {
					was := it.Value()
					is := reflect.New(t.Elem()).Elem()
					is.Set(was)
					if in(is); !reflect.DeepEqual(is.Interface(), was.Interface()) {
						v.SetMapIndex(it.Key(), is)
					}
				}
			}
		}
	}
	return nil
}

func structRounder(t reflect.Type, above map[reflect.Type]bool) rounder {
	type part struct {
		field int
		round rounder
	}
	var parts []part
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() {
			if in := makeRounder(f.Type, above); in != nil {
				parts = append(parts, part{i, in})
			}
		}
	}
	if parts == nil {
		return nil
	}
	return func(v reflect.Value) {
		for _, p := range parts {
			p.round(v.Field(p.field))
		}
	}
}

// round writes only where there is something to drop: what has nothing may be shared with an object that is frozen.
func round(t *time.Time, unit time.Duration) {
	if t.Nanosecond()%int(unit) != 0 {
		*t = t.Truncate(unit)
	}
}
