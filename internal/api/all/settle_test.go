package all

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"sampan.dev/internal/api"

	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"
)

// What the cache holds of a written object is what a reader of the store gets, for every kind: random objects with empty and
// nil lists, maps and bytes, times and quantities are settled and must be equal to what their stored bytes decode to, in every
// field and in their JSON.
func TestSettledIsWhatIsRead(t *testing.T) {
	const seed, objects = 37, 40
	for _, k := range Kinds().All() {
		if k.Virtual || k.View != nil {
			continue // never stored as it is
		}
		if k.Codec != nil {
			continue // random values of such a kind are no objects; its package has objects for this test
		}
		t.Run(k.Resource, func(t *testing.T) {
			fill := randfill.NewWithSeed(seed).NilChance(0.3).NumElements(0, 3).MaxDepth(12).Funcs(odd...)
			for range objects {
				obj := k.New()
				fill.Fill(obj)
				obj.GetObjectKind().SetGroupVersionKind(k.GVK())
				if k.Default != nil {
					k.Default(obj)
				}
				api.Settle(obj)
				stored, err := api.EncodeStored(obj)
				if err != nil {
					t.Fatal(err)
				}
				back, err := api.DecodeStored(stored, k.New())
				if err != nil {
					t.Fatal(err)
				}
				if k.Resource == "statefulsets" { // the kinds of the claims in it are not stored; a cache defaults what it reads
					k.Default(back)
				}
				compare(t, obj, back)
			}
		})
	}
}

// compare goes by JSON, which is what is seen, and by the Go values save for the text that a quantity remembers.
func compare(t *testing.T, obj, back api.Object) {
	t.Helper()
	a, err := api.EncodeJSON(obj)
	if err != nil {
		t.Fatal(err)
	}
	b, err := api.EncodeJSON(back)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) {
		i := 0
		for i < min(len(a), len(b)) && a[i] == b[i] {
			i++
		}
		from := max(0, i-80)
		t.Fatalf("%T:\n held …%s\n read …%s", obj, a[from:min(len(a), i+80)], b[from:min(len(b), i+80)])
	}
	if at := unlike(reflect.ValueOf(obj), reflect.ValueOf(back), ""); at != "" {
		t.Fatalf("%T: %s differs", obj, at)
	}
}

// unlike names the first list, map or bytes that is nil on one side and empty on the other.
func unlike(a, b reflect.Value, path string) string {
	switch a.Kind() {
	case reflect.Pointer, reflect.Interface:
		if a.IsNil() != b.IsNil() {
			return path
		}
		if !a.IsNil() {
			return unlike(a.Elem(), b.Elem(), path)
		}
	case reflect.Slice:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return path
		}
		for i := range a.Len() {
			if at := unlike(a.Index(i), b.Index(i), path+"[]"); at != "" {
				return at
			}
		}
	case reflect.Map:
		if a.IsNil() != b.IsNil() || a.Len() != b.Len() {
			return path
		}
		for it := a.MapRange(); it.Next(); {
			other := b.MapIndex(it.Key())
			if !other.IsValid() {
				return path + "[" + it.Key().String() + "]"
			}
			if at := unlike(it.Value(), other, path+"["+it.Key().String()+"]"); at != "" {
				return at
			}
		}
	case reflect.Struct:
		if a.Type() == reflect.TypeFor[time.Time]() || a.Type() == reflect.TypeFor[quantity.Quantity]() {
			return ""
		}
		for i := range a.NumField() {
			if a.Type().Field(i).IsExported() {
				if at := unlike(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); at != "" {
					return at
				}
			}
		}
	}
	return ""
}

// odd fills what randfill cannot know: values in the forms that clients send.
var odd = []any{
	func(q *quantity.Quantity, c randfill.Continue) {
		forms := []string{"1", "1000m", "1.5Gi", "0.1", "1e3", "2048Ki", "0", "-5", "1500000u", "100Mi", "1E"}
		*q = quantity.MustParse(forms[c.Intn(len(forms))])
	},
	func(at *metav1.Time, c randfill.Continue) {
		if !c.Bool() {
			at.Time = time.Unix(c.Int63n(4e9), c.Int63n(1e9)).Local()
		}
	},
	func(at *metav1.MicroTime, c randfill.Continue) {
		if !c.Bool() {
			at.Time = time.Unix(c.Int63n(4e9), c.Int63n(1e9)).Local()
		}
	},
	func(v *intstr.IntOrString, c randfill.Continue) {
		if *v = intstr.FromInt32(c.Int31()); c.Bool() {
			*v = intstr.FromString("25%")
		}
	},
	func(f *metav1.FieldsV1, c randfill.Continue) { f.Raw = []byte(`{"f:a":{}}`) },
	func(e *runtime.RawExtension, c randfill.Continue) { e.Raw = []byte(`{"a":1}`) },
	func(m *metav1.TypeMeta, c randfill.Continue) {},
	func(s *string, c randfill.Continue) { *s = []string{"", "a", "b c", "é"}[c.Intn(4)] },
	func(b *[]byte, c randfill.Continue) {
		*b = [][]byte{nil, {}, []byte("x")}[c.Intn(3)]
	},
}
