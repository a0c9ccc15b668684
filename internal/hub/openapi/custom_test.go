package openapi

import (
	"compress/gzip"
	"encoding/json"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/hub/custom/schema"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// pears is the kind of the definition of testdata/custom.json, whose documents a kube-apiserver v1.37.1 published as custom-v3 and,
// what is its own of it, custom-v2.
func pears(t *testing.T) *api.Kind {
	t.Helper()
	data, err := os.ReadFile("testdata/custom.json")
	if err != nil {
		t.Fatal(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := json.Unmarshal(data, crd); err != nil {
		t.Fatal(err)
	}
	s, err := schema.Compile(crd, "v1")
	if err != nil {
		t.Fatal(err)
	}
	write := []string{"get", "patch", "update"}
	k := &api.Kind{
		Group: crd.Spec.Group, Version: "v1", Kind: "Pear", Resource: "pears", Namespaced: true, Codec: api.Unstructured{}, Model: s.Model("1", false),
		Subresources: []api.Subresource{{Name: "status", Verbs: write}, {
			Name: "scale", Verbs: write, GVK: autoscalingv1.SchemeGroupVersion.WithKind("Scale"), New: func() runtime.Object { return &autoscalingv1.Scale{} },
		}},
	}
	k.New, k.NewList = api.Untyped("schema-t.io/v1", "Pear", "")
	return k
}

func published(t *testing.T, name string) any {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.NewDecoder(z).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestCustom compares the documents of a custom resource with upstream's.
func TestCustom(t *testing.T) {
	h := New(Config{Kinds: api.NewKinds(append(all.Kinds().All(), pears(t))), Version: "v1.37.1+test"})
	ask := func(path string) node {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		var doc node
		if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return doc
	}
	v3 := ask("/openapi/v3/apis/schema-t.io/v1")
	want := published(t, "custom-v3.json.gz")
	for _, doc := range []any{v3, want} { // it depends on what else is served
		delete(doc.(node)["components"].(node)["schemas"].(node)[deleteOptions].(node), kindsKey)
	}
	compare(t, "v3", sortedLists(v3, ""), sortedLists(want, ""))
	v2 := ask("/openapi/v2")
	part := node{"paths": node{}, "definitions": node{}}
	for section, key := range map[string]string{"paths": "schema-t.io", "definitions": "io.schema-t."} {
		for k, v := range v2[section].(node) {
			if strings.Contains(k, key) {
				part[section].(node)[k] = v
			}
		}
	}
	compare(t, "v2", sortedLists(named(part), ""), sortedLists(named(published(t, "custom-v2.json.gz")), ""))
}

// named puts the names of parameters in their place: upstream writes most of them once and refers to them
// ("#/parameters/watch-XNNPZGbK"), which sampan does not.
func named(v any) any {
	switch v := v.(type) {
	case node:
		if ref, ok := v["$ref"].(string); ok && strings.HasPrefix(ref, "#/parameters/") {
			name, _, _ := strings.Cut(strings.TrimPrefix(ref, "#/parameters/"), "-")
			return name
		}
		if in := v["in"]; in == "query" || in == "path" || in == "body" {
			return v["name"]
		}
		for k, c := range v {
			v[k] = named(c)
		}
	case []any:
		for i := range v {
			v[i] = named(v[i])
		}
	}
	return v
}

// sortedLists sorts lists of parameters, whose order means nothing.
func sortedLists(v any, in string) any {
	switch v := v.(type) {
	case node:
		for k, c := range v {
			v[k] = sortedLists(c, k)
		}
	case []any:
		for i := range v {
			v[i] = sortedLists(v[i], "")
		}
		if in == "parameters" || in == "consumes" || in == "produces" || in == "schemes" {
			slices.SortFunc(v, func(a, b any) int { return strings.Compare(text(a), text(b)) })
		}
	}
	return v
}

func text(v any) string {
	data, _ := json.Marshal(v)
	return string(data)
}

// compare walks two documents and tells where they part.
func compare(t *testing.T, at string, got, want any) {
	t.Helper()
	g, gok := got.(node)
	w, wok := want.(node)
	if !gok || !wok {
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %.600s\nwant %.600s", at, text(got), text(want))
		}
		return
	}
	for k := range merged(g, w) {
		compare(t, at+" › "+k, g[k], w[k])
	}
}

// TestShelf: what is asked for again is not made again, though another handler has come, until what it describes has changed.
func TestShelf(t *testing.T) {
	k := pears(t)
	made := 0
	published := k.Model.OpenAPI
	shelf := &Shelf{}
	handle := func(id string, kinds ...*api.Kind) (etag string) {
		of := *k
		of.Model = &api.Model{ID: id, OpenAPI: func(v int) (*spec.Schema, error) { made++; return published(v) }}
		h := New(Config{Kinds: api.NewKinds(append(slices.Concat(all.Kinds().All(), kinds), &of)), Version: "v1", Shelf: shelf})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/openapi/v3", nil))
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/openapi/v3/apis/schema-t.io/v1", nil))
		return w.Header().Get("Etag")
	}
	other := *k
	other.Group = "other.io"
	other.Model = &api.Model{OpenAPI: func(int) (*spec.Schema, error) { t.Error("nobody asked for the other"); return published(3) }}
	first := handle("1")
	if again := handle("1"); again != first || made != 1 {
		t.Errorf("made %d times, etag %s then %s", made, first, again)
	}
	if again := handle("1", &other); again != first || made != 1 {
		t.Errorf("another kind: made %d times, etag %s then %s", made, first, again)
	}
	if changed := handle("2"); changed == first || made != 2 {
		t.Errorf("changed: made %d times, etag %s then %s", made, first, changed)
	}
}
