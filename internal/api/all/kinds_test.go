package all

import (
	"bufio"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/group"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The files of testdata are facts of all of upstream's kinds, so that those of a new kind are there before it: discovery.jsonl and
// columns.jsonl are what a kube-apiserver v1.37.1 answered; storage.jsonl is read out of its sources (test/integration/etcd/data.go,
// pkg/registry/*/*/storage and strategy). Rows of kinds that are not served are passed over.

func lines[T any](t *testing.T, file string) []T {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []T
	s := bufio.NewScanner(f)
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

type discovered struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	apidiscoveryv2.APIResourceDiscovery
}

func TestDiscovery(t *testing.T) {
	var want, got []string
	kinds := map[string]*api.Kind{}
	for _, k := range Kinds().All() {
		key := k.Group + "/" + k.Version + "/" + k.Resource
		got = append(got, key)
		kinds[key] = k
	}
	for _, r := range lines[discovered](t, "testdata/discovery.jsonl") {
		key := r.Group + "/" + r.Version + "/" + r.Resource
		if k := kinds[key]; k != nil {
			want = append(want, key)
			checkResource(t, k, r)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("kinds in order:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func checkResource(t *testing.T, k *api.Kind, r discovered) {
	t.Helper()
	equal := func(what string, got, want any) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s %s: got %v, want %v", k.Resource, what, got, want)
		}
	}
	verbs := k.Verbs
	if verbs == nil {
		verbs = api.AllVerbs
	}
	equal("kind", k.Kind, r.ResponseKind.Kind)
	equal("singular", k.Singular, r.SingularResource)
	equal("short names", k.ShortNames, r.ShortNames)
	equal("categories", k.Categories, r.Categories)
	equal("namespaced", k.Namespaced, r.Scope == apidiscoveryv2.ScopeNamespace)
	equal("verbs", verbs, r.Verbs)
	var got, want []string
	for _, s := range k.Subresources {
		gvk := s.GVK
		if gvk.Empty() {
			gvk = schema.GroupVersionKind{Kind: k.Kind} // as discovery prints the parent's own
		}
		got = append(got, s.Name+" "+gvk.String()+" "+strings.Join(s.Verbs, ","))
	}
	for _, s := range r.Subresources {
		gvk := schema.GroupVersionKind(*s.ResponseKind)
		if gvk.Group == "" && gvk.Version == "" && gvk.Kind != k.Kind {
			gvk.Group, gvk.Version = k.Group, k.Version
		}
		want = append(want, s.Subresource+" "+gvk.String()+" "+strings.Join(s.Verbs, ","))
	}
	equal("subresources", strings.Join(got, "\n"), strings.Join(want, "\n"))
}

type table struct {
	Resource string                         `json:"resource"`
	Columns  []metav1.TableColumnDefinition `json:"columns"`
}

func TestColumns(t *testing.T) {
	kinds, rows := Kinds(), map[*api.Kind]bool{}
	for _, w := range lines[table](t, "testdata/columns.jsonl") {
		k := kinds.Resource(resourceOf(w.Resource))
		if k == nil {
			continue
		}
		rows[k] = true
		if k.Columns == nil { // the hub's default
			k.Columns = []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name"}, {Name: "Created At", Type: "date"}}
		} else if row := k.Row(k.New()); len(row) != len(k.Columns) {
			t.Errorf("%s: %d cells for %d columns", w.Resource, len(row), len(k.Columns))
		}
		var got []metav1.TableColumnDefinition
		for _, c := range k.Columns {
			c.Description = ""
			got = append(got, c)
		}
		if !reflect.DeepEqual(got, w.Columns) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", w.Resource, got, w.Columns)
		}
	}
	for _, k := range kinds.All() {
		if k.Can("list") && !rows[k] && k.View == nil {
			t.Errorf("%s: no row", k.GVR())
		}
	}
}

// resourceOf reads "apps/v1/deployments" and "v1/pods".
func resourceOf(name string) schema.GroupVersionResource {
	parts := strings.Split(name, "/")
	if len(parts) == 2 {
		parts = append([]string{""}, parts...)
	}
	return schema.GroupVersionResource{Group: parts[0], Version: parts[1], Resource: parts[2]}
}

// TestStorage compares where objects are kept and how they may be written.
func TestStorage(t *testing.T) {
	type row struct {
		Resource                      string
		Prefix                        string
		ReturnsDeleted                bool
		CreateOnUpdate, Unconditional *bool // nil: not known
	}
	kinds, rows := Kinds(), map[*api.Kind]bool{}
	for _, w := range lines[row](t, "testdata/storage.jsonl") {
		k := kinds.Resource(resourceOf(w.Resource))
		if k == nil {
			continue
		}
		rows[k] = true
		if got, want := k.StoragePrefix(), "/registry/"+w.Prefix+"/"; k.View == nil && got != want {
			t.Errorf("%s is kept below %s, want %s", w.Resource, got, want)
		}
		if k.View == nil && k.ReturnsDeleted != w.ReturnsDeleted { // a view's objects are deleted by the stored kind
			t.Errorf("%s: a delete answers with the object: %v, want %v", w.Resource, k.ReturnsDeleted, w.ReturnsDeleted)
		}
		if w.CreateOnUpdate != nil && k.CreateOnUpdate != *w.CreateOnUpdate {
			t.Errorf("%s: an update creates: %v, want %v", w.Resource, k.CreateOnUpdate, *w.CreateOnUpdate)
		}
		if w.Unconditional != nil && k.Unconditional != *w.Unconditional {
			t.Errorf("%s: an update without a resourceVersion is taken: %v, want %v", w.Resource, k.Unconditional, *w.Unconditional)
		}
	}
	for _, k := range kinds.All() {
		if !k.Virtual && !rows[k] {
			t.Errorf("%s: no row", k.GVR())
		}
	}
}

// TestGroups: the list of groups has all of upstream's, in the order of its discovery.
func TestGroups(t *testing.T) {
	var want, got []string
	for _, r := range lines[discovered](t, "testdata/discovery.jsonl") {
		if !slices.Contains(want, r.Group) {
			want = append(want, r.Group)
		}
	}
	for _, g := range group.All {
		if g.Name != "admission.k8s.io" { // has no paths
			got = append(got, g.Name)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("groups %q, want %q", got, want)
	}
	for _, k := range Kinds().All() {
		if i := group.Rank(k.Group); i == len(group.All) || !group.All[i].Described {
			t.Errorf("%s: the group is not described", k.GVR())
		}
	}
}

// TestShape checks what every kind must have whatever else it does.
func TestShape(t *testing.T) {
	for _, k := range Kinds().All() {
		obj := k.New()
		if gvk, err := api.GVKOf(obj); err != nil || gvk != k.GVK() {
			t.Errorf("%s: New makes %v (%v)", k.GVK(), gvk, err)
		}
		if !k.Virtual && k.Can("list") {
			if gvk, err := api.GVKOf(k.NewList()); err != nil || gvk.Kind != k.Kind+"List" {
				t.Errorf("%s: NewList makes %v (%v)", k.GVK(), gvk, err)
			}
		}
		if k.Default != nil {
			k.Default(obj)
			once := obj.DeepCopyObject()
			k.Default(obj)
			if !reflect.DeepEqual(once, obj) {
				t.Errorf("%s: defaulting twice differs from once", k.GVK())
			}
		}
		if k.Fields != nil {
			for f := range k.Fields(obj) {
				if !slices.Contains(k.FieldLabels, f) {
					t.Errorf("%s: field %s is not among the labels", k.GVK(), f)
				}
			}
		}
		for _, f := range k.FieldLabels {
			if k.Fields == nil {
				t.Errorf("%s: label %s but no fields", k.GVK(), f)
			}
		}
		if k.Validate != nil {
			k.Validate(obj) // an empty object must not crash it
		}
		if k.ValidateUpdate != nil {
			k.ValidateUpdate(obj, k.New())
		}
	}
}

// TestEmptyRows: the bookmark of a watch that prints tables has the cells of an empty object.
func TestEmptyRows(t *testing.T) {
	for _, k := range Kinds().All() {
		if k.Row == nil || k.New == nil {
			continue
		}
		if got := len(k.Row(k.New())); got != len(k.Columns) {
			t.Errorf("%s: %d cells for %d columns", k.Kind, got, len(k.Columns))
		}
	}
}
