package schema

import (
	"bytes"
	"compress/gzip"
	"context"
	stdjson "encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sampan.dev/internal/api/apiextensions"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// step is a request with what a kube-apiserver v1.37.1 said of it, as e2e/differential records it.
type step struct {
	Case, Method, Path, Type, Body string
	Answer                         struct {
		Code int
		Body any
	}
}

func recorded(t testing.TB) [][]step {
	t.Helper()
	f, err := os.Open("testdata/recorded.jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out [][]step
	for d := stdjson.NewDecoder(z); d.More(); {
		var s step
		if err := d.Decode(&s); err != nil {
			t.Fatal(err)
		}
		if n := len(out); n > 0 && out[n-1][0].Case == s.Case {
			out[n-1] = append(out[n-1], s)
		} else {
			out = append(out, []step{s})
		}
	}
	return out
}

// TestRecorded asks of definitions and objects what a stock API server was asked, and compares what is wrong with them and what
// becomes of them. Metadata are not compared: they are not this package's.
func TestRecorded(t *testing.T) {
	compared := map[string]int{}
	for _, c := range recorded(t) {
		t.Run(c[0].Case, func(t *testing.T) { replay(t, c, compared) })
	}
	t.Log(compared)
	for what, least := range map[string]int{"definition": 90, "bad definition": 80, "object": 130, "bad object": 200, "change": 20, "bad change": 45} {
		if compared[what] < least {
			t.Errorf("only %d of %q were compared", compared[what], what)
		}
	}
}

func replay(t *testing.T, steps []step, compared map[string]int) {
	crd := definitionOf(t, steps[0], compared)
	if crd == nil {
		return
	}
	s := New(func() (*apiextensionsv1.CustomResourceDefinition, error) { return crd, nil }, crd.Spec.Versions[0].Name)
	objects := map[string]map[string]any{}
	for _, st := range steps[1:] {
		path, query, _ := strings.Cut(st.Path, "?")
		if strings.Contains(path, "customresourcedefinitions") {
			if st.Method == "PATCH" {
				return // the schema changes: what follows is of two of them
			}
			continue
		}
		switch {
		case st.Method == "POST" && (st.Type == "" || st.Type == "application/json"):
			obj := decoded(t, st.Body)
			if obj == nil {
				continue
			}
			check(t, s, st, query, obj, nil, compared)
		case st.Method == "PATCH" && st.Type == "application/merge-patch+json" && !strings.HasSuffix(path, "/status") && !strings.HasSuffix(path, "/scale"):
			old := objects[path]
			if old == nil {
				continue
			}
			was, _ := json.Marshal(old)
			is, err := jsonpatch.MergePatch(was, []byte(st.Body))
			if err != nil {
				t.Fatal(err)
			}
			check(t, s, st, query, decoded(t, string(is)), old, compared)
		}
		if body, ok := st.Answer.Body.(map[string]any); ok && body["kind"] == crd.Spec.Names.Kind {
			if meta, _ := body["metadata"].(map[string]any); meta != nil && !strings.Contains(query, "dryRun") {
				base := path
				if st.Method == "POST" {
					base += "/" + fmt.Sprint(meta["name"])
				}
				body["metadata"] = map[string]any{"name": meta["name"], "generation": 1} // the rest was the server's own
				stored, _ := json.Marshal(body)
				objects[strings.TrimSuffix(base, "/status")] = decoded(t, string(stored))
			}
		}
	}
}

// definitionOf compares what is wrong with the definition that a case begins with; nil when it was refused.
func definitionOf(t *testing.T, st step, compared map[string]int) *apiextensionsv1.CustomResourceDefinition {
	var crd apiextensionsv1.CustomResourceDefinition
	if st.Answer.Code != 201 && st.Answer.Code != 422 {
		return nil
	}
	if err := stdjson.Unmarshal([]byte(st.Body), &crd); err != nil {
		t.Fatalf("%v: %s", err, st.Body)
	}
	apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(&crd)
	errs := apiextensions.Validate(context.Background(), &crd)
	same(t, st, errs)
	if st.Answer.Code == 422 {
		compared["bad definition"]++
		return nil
	}
	compared["definition"]++
	return &crd
}

// check compares what is wrong with an object, or with the change from old, and what becomes of it.
func check(t *testing.T, s *Schema, st step, query string, obj, old map[string]any, compared map[string]int) {
	from := Sent
	if strings.Contains(query, "fieldValidation=Strict") {
		from = Checked
	}
	unknown, err := s.Coerce(obj, from)
	answer, _ := st.Answer.Body.(map[string]any)
	message := fmt.Sprint(answer["message"])
	if c := causesOf(answer); st.Answer.Code == 400 || len(c) == 1 && c[0].field == "patch" || st.Answer.Code == 500 || st.Answer.Code == 415 {
		switch {
		case err != nil && !strings.Contains(message, err.Error()):
			t.Errorf("%s %s\n%s\nerror %v, want %s", st.Method, st.Path, st.Body, err, message)
		case err == nil && strings.Contains(message, "unknown field"):
			for _, path := range unknown {
				if !strings.Contains(message, fmt.Sprintf("unknown field %q", path)) {
					t.Errorf("%s\nunknown %s, want %s", st.Body, path, message)
				}
			}
			if len(unknown) != strings.Count(message, "unknown field") {
				t.Errorf("%s\nunknown %v, want %s", st.Body, unknown, message)
			}
		}
		return
	}
	if err != nil {
		t.Errorf("%s %s\n%s\nerror %v, want %d %v", st.Method, st.Path, st.Body, err, st.Answer.Code, answer)
		return
	}
	if st.Answer.Code != 201 && st.Answer.Code != 200 && st.Answer.Code != 422 {
		return
	}
	if err := s.Default(obj); err != nil {
		t.Fatal(err)
	}
	crd, _ := s.source()
	if sub := crd.Spec.Versions[0].Subresources; sub != nil && sub.Status != nil { // what the verbs do before validation
		delete(obj, "status")
		if status, ok := old["status"]; ok {
			obj["status"] = status
		}
	}
	what := "object"
	var errs field.ErrorList
	if old == nil {
		errs = s.Validate(context.Background(), obj, metaErrs(answer))
	} else {
		what = "change"
		errs = s.ValidateUpdate(context.Background(), obj, old, metaErrs(answer))
	}
	same(t, st, errs)
	if st.Answer.Code == 422 {
		compared["bad "+what]++
		return
	}
	compared[what]++
	got, _ := json.Marshal(obj)
	is, want := decoded(t, string(got)), decoded(t, encoded(answer))
	delete(is, "metadata")
	delete(want, "metadata")
	if !reflect.DeepEqual(is, want) {
		t.Errorf("%s %s\n%s\nbecame %s\nwant   %s", st.Method, st.Path, st.Body, encoded(is), encoded(want))
	}
}

// metaErrs are errors of the types of those that the server found in metadata.
func metaErrs(status map[string]any) field.ErrorList {
	var out field.ErrorList
	for _, c := range causesOf(status) {
		if strings.HasPrefix(c.field, "metadata.") {
			out = append(out, &field.Error{Type: field.ErrorType(c.reason), Field: c.field})
		}
	}
	return out
}

type cause struct{ reason, message, field string }

func causesOf(status map[string]any) []cause {
	details, _ := status["details"].(map[string]any)
	list, _ := details["causes"].([]any)
	var out []cause
	for _, x := range list {
		m := x.(map[string]any)
		text := func(k string) string { s, _ := m[k].(string); return s }
		out = append(out, cause{text("reason"), text("message"), text("field")})
	}
	return out
}

// same compares errors with the causes of the answer, but those of metadata.
func same(t *testing.T, st step, errs field.ErrorList) {
	t.Helper()
	status, _ := st.Answer.Body.(map[string]any)
	if st.Answer.Code < 400 {
		status = nil
	}
	var got, want []string
	for _, e := range errs {
		got = append(got, fmt.Sprint(cause{string(e.Type), e.ErrorBody(), e.Field}))
	}
	for _, c := range causesOf(status) {
		if !strings.HasPrefix(c.field, "metadata.") || strings.Contains(c.message, "must be spec.names.plural") || strings.Contains(c.field, "annotations") {
			want = append(want, fmt.Sprint(c))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if got, want = slices.Compact(got), slices.Compact(want); !slices.Equal(got, want) {
		t.Errorf("%s %s\n%s\ngot  %s\nwant %s (%d)", st.Method, st.Path, st.Body, strings.Join(got, "\n     "), strings.Join(want, "\n     "), st.Answer.Code)
	}
}

// decoded reads JSON as a request body is read, with integers; nil for what is no object.
func decoded(t testing.TB, data string) map[string]any {
	t.Helper()
	var out map[string]any
	if json.Unmarshal([]byte(data), &out) != nil {
		return nil
	}
	return out
}

func encoded(v any) string {
	var b bytes.Buffer
	e := stdjson.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.Encode(v)
	return strings.TrimSpace(b.String())
}
