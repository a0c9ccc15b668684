package apitest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"
)

// Change is a merge patch in YAML, and what is wrong with the object that results: an error a line, "" for none. A line that ends in
// "…" is the beginning of the error.
type Change [2]string

// Read makes an object of YAML, changed by a merge patch in YAML ("" for none), as a request brings it: with its defaults.
func Read(t *testing.T, k *api.Kind, text, patch string) api.Object {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if patch != "" {
		change, err := yaml.YAMLToJSON([]byte(patch))
		if err != nil {
			t.Fatal(err)
		}
		if data, err = jsonpatch.MergePatch(data, change); err != nil {
			t.Fatal(err)
		}
	}
	obj := k.New()
	if err := yaml.UnmarshalStrict(data, obj); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	if k.Default != nil {
		k.Default(obj)
	}
	return obj
}

// Made is what Read makes, as it is stored when it is created.
func Made(t *testing.T, k *api.Kind, text, patch string) api.Object {
	t.Helper()
	obj := Read(t, k, text, patch)
	obj.SetUID("u")
	if k.PrepareCreate != nil {
		k.PrepareCreate(obj)
	}
	return obj
}

// Creates checks what is wrong with changes of a valid object when they are created.
func Creates(t *testing.T, k *api.Kind, text string, changes []Change) {
	t.Helper()
	for _, c := range append([]Change{{}}, changes...) {
		same(t, c, k.Validate(Made(t, k, text, c[0])))
	}
}

// Updates checks what is wrong with changes of an object that is there; first is what it is changed by before ("" for nothing).
func Updates(t *testing.T, k *api.Kind, text, first string, changes []Change) {
	t.Helper()
	for _, c := range append([]Change{{}}, changes...) {
		old := Made(t, k, text, first)
		obj := patched(t, k, old, c[0])
		if k.PrepareUpdate != nil {
			k.PrepareUpdate(obj, old)
		}
		same(t, c, k.ValidateUpdate(obj, old))
	}
}

// Statuses checks what is wrong with changes of the status. first changes the object itself before; each change that is valid is
// what the next one changes.
func Statuses(t *testing.T, k *api.Kind, text, first string, changes []Change) {
	t.Helper()
	sub := k.Sub("status")
	old := Made(t, k, text, first)
	for _, c := range changes {
		obj := patched(t, k, old, c[0])
		sub.PrepareUpdate(obj, old)
		errs := sub.ValidateUpdate(obj, old)
		same(t, c, errs)
		if len(errs) == 0 {
			old = obj
		}
	}
}

func patched(t *testing.T, k *api.Kind, old api.Object, patch string) api.Object {
	t.Helper()
	data, err := json.Marshal(old)
	if err != nil {
		t.Fatal(err)
	}
	return Read(t, k, string(data), patch)
}

func same(t *testing.T, c Change, errs field.ErrorList) {
	t.Helper()
	var got []string
	for _, e := range errs {
		got = append(got, e.Error())
	}
	var want []string
	if c[1] != "" {
		want = strings.Split(c[1], "\n")
	}
	if !slices.EqualFunc(got, want, func(got, want string) bool {
		head, ok := strings.CutSuffix(want, "…") // where what follows is long
		return got == want || ok && strings.HasPrefix(got, head)
	}) {
		t.Errorf("%s:\ngot  %s\nwant %s", c[0], strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// Text is a list of errors, one a line.
func Text(errs field.ErrorList) string {
	var out []string
	for _, e := range errs {
		out = append(out, e.Error())
	}
	return strings.Join(out, "\n")
}

// JSON is v in JSON.
func JSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
