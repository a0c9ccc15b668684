package apply

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"
)

var filledKinds = []*api.Kind{
	{Version: "v1", Kind: "Pod", Resource: "pods", Namespaced: true, New: func() api.Object { return &corev1.Pod{} }, Subresources: []api.Subresource{{Name: "status"}}},
	{Version: "v1", Kind: "Node", Resource: "nodes", New: func() api.Object { return &corev1.Node{} }, Subresources: []api.Subresource{{Name: "status"}}},
	{Version: "v1", Kind: "Service", Resource: "services", Namespaced: true, New: func() api.Object { return &corev1.Service{} }, Subresources: []api.Subresource{{Name: "status"}}},
	{Version: "v1", Kind: "Event", Resource: "events", Namespaced: true, New: func() api.Object { return &corev1.Event{} }},
	configMaps,
}

// filled is an object with something in every field.
func filled(t *testing.T, k *api.Kind) api.Object {
	t.Helper()
	obj := k.New()
	randfill.NewWithSeed(1).NilChance(0).NumElements(1, 2).MaxDepth(12).Funcs(
		func(q *resource.Quantity, c randfill.Continue) {
			*q = *resource.NewQuantity(1+c.Int63n(1000), resource.DecimalSI)
		},
		func(i *intstr.IntOrString, c randfill.Continue) { *i = intstr.FromInt32(1 + c.Int31n(1000)) },
		func(m *metav1.Time, c randfill.Continue) { *m = metav1.Unix(1e9+c.Int63n(1e6), 0) },
		func(m *metav1.MicroTime, c randfill.Continue) {
			*m = metav1.NewMicroTime(time.Unix(1e9+c.Int63n(1e6), 0))
		},
		func(*[]metav1.ManagedFieldsEntry, randfill.Continue) {},
		func(s *string, c randfill.Continue) { *s = fmt.Sprintf("s%x", c.Int63()) },
	).Fill(obj)
	obj.GetObjectKind().SetGroupVersionKind(k.GVK())
	return obj
}

// eachChange calls do with obj after each of the smallest changes of a value of it: another value, none, one element less.
func eachChange(v reflect.Value, path string, do func(path string)) {
	with := func(name string, next reflect.Value) {
		was := reflect.New(v.Type()).Elem()
		was.Set(v)
		v.Set(next)
		do(path + name)
		v.Set(was)
	}
	none := reflect.Zero(v.Type())
	if scalars[v.Type()] {
		with(" none", none)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.Type != typeMetaType && f.Name != "ManagedFields" {
				eachChange(v.Field(i), path+"."+f.Name, do)
			}
		}
	case reflect.Pointer:
		if !v.IsNil() {
			with(" none", none)
			eachChange(v.Elem(), path, do)
		}
	case reflect.Slice:
		if v.Len() == 0 {
			return
		}
		with(" none", none)
		with(" empty", reflect.MakeSlice(v.Type(), 0, 0))
		with(" one less", v.Slice(0, v.Len()-1))
		for i := range v.Len() {
			if v.Type().Elem().Kind() != reflect.Uint8 {
				eachChange(v.Index(i), fmt.Sprintf("%s[%d]", path, i), do)
			}
		}
	case reflect.Map:
		with(" none", none)
		if v.Type().Key().Kind() == reflect.String {
			next := reflect.MakeMap(v.Type())
			for _, k := range v.MapKeys() {
				next.SetMapIndex(reflect.ValueOf(k.String()+"x").Convert(k.Type()), v.MapIndex(k))
			}
			with(" keys", next)
		}
	case reflect.String:
		with(" none", none)
		with(" other", reflect.ValueOf(v.String()+"x").Convert(v.Type()))
	case reflect.Int32, reflect.Int64:
		with(" none", none)
		with(" other", reflect.ValueOf(v.Int()^1<<20).Convert(v.Type()))
	case reflect.Bool:
		with(" other", reflect.ValueOf(!v.Bool()).Convert(v.Type()))
	}
}

// someChanges calls do after some of the changes, at most so many and evenly.
func someChanges(obj api.Object, most int, do func(path string)) {
	v, all, n := reflect.ValueOf(obj).Elem(), 0, 0
	eachChange(v, "", func(string) { all++ })
	eachChange(v, "", func(path string) {
		if n++; n%(all/most+1) == 0 {
			do(path)
		}
	})
}

// Objects of one shape have the same fields, whatever else there is in them.
func TestShape(t *testing.T) {
	for _, k := range filledKinds {
		t.Run(k.Kind, func(t *testing.T) {
			obj := filled(t, k)
			fields := func() string {
				alone := obj.DeepCopyObject().(api.Object)
				m, err := engine.manager(target{kind: k})
				if err != nil {
					t.Fatal(err)
				}
				empty, err := target{kind: k}.empty()
				if err != nil {
					t.Fatal(err)
				}
				if _, err := m.Update(empty, alone, "m"); err != nil {
					t.Fatal(err)
				}
				return entries(alone)
			}
			shapeOf := func() string {
				b, err := appendShape(nil, obj)
				if err != nil {
					t.Fatal(err)
				}
				return string(b)
			}
			wasShape, wasFields := shapeOf(), fields()
			same, changes := 0, 0
			someChanges(obj, 1000, func(path string) {
				changes++
				if shapeOf() != wasShape {
					return
				}
				same++
				if got := fields(); got != wasFields {
					t.Errorf("%s: one shape, but the fields are\n%s\nand were\n%s", path, got, wasFields)
				}
			})
			if same < changes/20 {
				t.Errorf("of %d changes only %d leave the shape as it is", changes, same)
			}
			t.Logf("%d of %d changes leave the shape as it is", same, changes)
		})
	}
}

// What is left out of a comparison changes nothing about what comes of it.
func TestDropEqual(t *testing.T) {
	for _, k := range filledKinds {
		t.Run(k.Kind, func(t *testing.T) {
			old := filled(t, k)
			engine.Track(k, "", old, nil, "creator")
			obj := old.DeepCopyObject().(api.Object)
			someChanges(obj, 150, func(path string) {
				for _, tg := range []target{{k, ""}, {k, "status"}} {
					if tg.sub != "" && k.Sub(tg.sub) == nil {
						continue
					}
					m, err := engine.manager(tg)
					if err != nil {
						t.Fatal(err)
					}
					whole, wholeOld := tg.without(obj.DeepCopyObject().(api.Object)), tg.without(old)
					part, partOld := tg.without(obj.DeepCopyObject().(api.Object)), tg.without(old)
					dropEqual(part, partOld)
					_, err = m.Update(wholeOld, whole, "m")
					_, partErr := m.Update(partOld, part, "m")
					if err != nil || partErr != nil {
						t.Fatalf("%s %s: %v, %v", path, tg.sub, err, partErr)
					}
					if got, want := entries(part), entries(whole); got != want {
						t.Fatalf("%s %s: the parts that differ give\n%sthe whole\n%s", path, tg.sub, got, want)
					}
				}
			})
		})
	}
}
