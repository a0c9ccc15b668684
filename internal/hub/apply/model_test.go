package apply

import (
	"encoding/json"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/openapi"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

const pearModel = `{"type":"object","properties":{
	"apiVersion":{"type":"string"},"kind":{"type":"string"},"metadata":{"$ref":"#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
	"spec":{"type":"object","properties":{
		"n":{"type":"integer"},"any":{"x-kubernetes-int-or-string":true},"whole":{"type":"object","x-kubernetes-map-type":"atomic","properties":{"a":{"type":"string"},"b":{"type":"string"}}},
		"set":{"type":"array","items":{"type":"string"},"x-kubernetes-list-type":"set"},"plain":{"type":"array","items":{"type":"string"}},
		"map":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","required":["k"],"properties":{"k":{"type":"string"},"v":{"type":"string"}}}},
		"loose":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}`

// pears is a kind without a Go type that has a model.
func pears(t testing.TB) (*Engine, *api.Kind) {
	k := &api.Kind{Group: "t.io", Version: "v1", Kind: "Pear", Resource: "pears", Namespaced: true, Codec: api.Unstructured{}}
	k.New = func() api.Object {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "t.io/v1", "kind": "Pear"}}
	}
	k.Model = &api.Model{Fields: func() (*spec.Schema, error) {
		s := &spec.Schema{}
		return s, json.Unmarshal([]byte(pearModel), s)
	}}
	served := func(gvk schema.GroupVersionKind) *api.Kind {
		if gvk == k.GVK() {
			return k
		}
		return nil
	}
	return New(openapi.Type, served), k
}

// TestModelApply merges by what the model says of lists and maps.
func TestModelApply(t *testing.T) {
	e, k := pears(t)
	var obj api.Object
	apply := func(manager, spec string) error {
		t.Helper()
		body := `{"apiVersion":"t.io/v1","kind":"Pear","metadata":{"name":"p","namespace":"d","labels":{"` + manager + `":"x"}},"spec":` + spec + `}`
		out, err := e.Patch(k, "", obj, types.ApplyYAMLPatchType, []byte(body), Options{Manager: manager})
		if err == nil {
			obj = out
		}
		return err
	}
	for _, c := range []struct{ manager, spec, err, want string }{
		{"a", `{"n":1,"zz":2}`, `failed to create typed patch object (d/p; t.io/v1, Kind=Pear): .spec.zz: field not declared in schema`, ""},
		{"a", `{"n":"x"}`, `.spec.n: expected numeric (int or float), got string`, ""},
		{"a", `{"set":["x","x"]}`, `duplicate entries for key [="x"]`, ""},
		{"a", `{"n":1,"set":["b","a","c"],"map":[{"k":"1"}],"plain":["x"],"loose":{"q":{"r":1}}}`, "", `{"loose":{"q":{"r":1}},"map":[{"k":"1"}],"n":1,"plain":["x"],"set":["b","a","c"]}`},
		{"b", `{"set":["z","c","b"],"map":[{"k":"2","v":"y"}],"loose":{"s":2}}`, "", `{"loose":{"q":{"r":1},"s":2},"map":[{"k":"1"},{"k":"2","v":"y"}],"n":1,"plain":["x"],"set":["a","z","c","b"]}`},
		{"b", `{"plain":["y"]}`, `conflict with "a": .spec.plain`, ""},
		{"b", `{"whole":{"a":"1"},"any":"50%"}`, "", `{"any":"50%","loose":{"q":{"r":1}},"map":[{"k":"1"}],"n":1,"plain":["x"],"set":["a","c","b"],"whole":{"a":"1"}}`},
		{"c", `{"whole":{"b":"1"}}`, `conflict with "b": .spec.whole`, ""},
		{"c", `{"any":5}`, `conflict with "b": .spec.any`, ""},
	} {
		err := apply(c.manager, c.spec)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s applies %s: %v, want %s", c.manager, c.spec, err, c.err)
		case c.err == "" && err != nil:
			t.Errorf("%s applies %s: %v", c.manager, c.spec, err)
		case c.err == "":
			got, _ := json.Marshal(obj.(*unstructured.Unstructured).Object["spec"])
			if string(got) != c.want {
				t.Errorf("%s applies %s:\ngot  %s\nwant %s", c.manager, c.spec, got, c.want)
			}
		}
	}
}

// TestModelTrack notes who owns the items of keyed lists after plain writes.
func TestModelTrack(t *testing.T) {
	e, k := pears(t)
	obj := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(`{"apiVersion":"t.io/v1","kind":"Pear","metadata":{"name":"p"},"spec":{"n":1,"map":[{"k":"1","v":"x"}],"set":["a"],"whole":{"a":"b"}}}`), &obj.Object); err != nil {
		t.Fatal(err)
	}
	e.Track(k, "", obj, nil, "kubectl")
	f := obj.GetManagedFields()
	const want = `{"f:spec":{".":{},"f:map":{".":{},"k:{\"k\":\"1\"}":{".":{},"f:k":{},"f:v":{}}},"f:n":{},"f:set":{".":{},"v:\"a\"":{}},"f:whole":{}}}`
	if len(f) != 1 || string(f[0].FieldsV1.Raw) != want {
		t.Errorf("managed fields %+v", f)
	}
}

// TestModelsGo checks that what was made for a kind is dropped once another has come in its place.
func TestModelsGo(t *testing.T) {
	e, first := pears(t)
	_, second := pears(t)
	now := first
	e.kinds = func(schema.GroupVersionKind) *api.Kind { return now }
	for range 3 {
		for _, k := range []*api.Kind{first, second} {
			now = k
			e.Track(k, "", k.New(), nil, "m")
		}
	}
	n := 0
	e.managers.Range(func(key, _ any) bool { n++; return true })
	e.models.by.Range(func(key, _ any) bool { n++; return true })
	if n != 2 {
		t.Errorf("%d managers and types of two kinds are kept, of which one is served", n)
	}
}
