package schema

import (
	"context"
	stdjson "encoding/json"
	"reflect"
	"testing"

	"sampan.dev/internal/api/apiextensions"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// defined returns a definition of things with a schema, with its defaults.
func defined(t testing.TB, schema string) *apiextensionsv1.CustomResourceDefinition {
	t.Helper()
	var props apiextensionsv1.JSONSchemaProps
	if err := stdjson.Unmarshal([]byte(schema), &props); err != nil {
		t.Skip(err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{
		Group: "t.io", Scope: apiextensionsv1.NamespaceScoped, Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: "things", Kind: "Thing"},
		Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
			Name: "v1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &props},
		}},
	}}
	crd.Name = "things.t.io"
	apiextensionsv1.SetObjectDefaults_CustomResourceDefinition(crd)
	return crd
}

// FuzzSchema takes a definition with any schema, and when that is accepted, any object. What an accepted schema makes of an object
// it makes of the result again, and the definition stays as it is.
func FuzzSchema(f *testing.F) {
	for _, c := range recorded(f) {
		var crd apiextensionsv1.CustomResourceDefinition
		if stdjson.Unmarshal([]byte(c[0].Body), &crd) != nil || len(crd.Spec.Versions) == 0 || crd.Spec.Versions[0].Schema == nil || len(c) < 4 {
			continue
		}
		schema, _ := stdjson.Marshal(crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
		f.Add(string(schema), c[3].Body)
	}
	f.Fuzz(func(t *testing.T, schema, object string) {
		crd := defined(t, schema)
		if len(apiextensions.Validate(context.Background(), crd)) > 0 {
			return
		}
		before := crd.DeepCopy()
		s, err := Compile(crd, "v1")
		if err != nil {
			t.Fatalf("a valid definition cannot be compiled: %v", err)
		}
		for _, version := range []int{2, 3} {
			if _, err := s.Model("", false).OpenAPI(version); err != nil {
				t.Errorf("OpenAPI %d: %v", version, err)
			}
		}
		obj := decoded(t, object)
		if obj == nil {
			return
		}
		obj["apiVersion"], obj["kind"] = "t.io/v1", "Thing"
		if _, err := s.Coerce(obj, Checked); err != nil {
			return
		}
		if err := s.Default(obj); err != nil {
			t.Fatal(err)
		}
		s.Validate(context.Background(), obj, nil)
		again := runtime.DeepCopyJSON(obj)
		if unknown, err := s.Coerce(again, Checked); err != nil || len(unknown) > 0 {
			t.Errorf("coerced again: %v, %v", unknown, err)
		}
		s.Default(again)
		if !reflect.DeepEqual(obj, again) {
			t.Errorf("%s\nbecame %s\nthen   %s", object, encoded(obj), encoded(again))
		}
		s.ValidateUpdate(context.Background(), again, obj, nil)
		if !reflect.DeepEqual(crd, before) {
			t.Error("the definition was changed")
		}
	})
}

// FuzzRule takes any expression as a rule and as a message. One that is accepted can be evaluated within its budget.
func FuzzRule(f *testing.F) {
	for _, e := range []string{
		"self.s == 'a'", "self.i < 3 && self.l.all(x, x != self.s)", "self.m.exists(k, self.m[k] == self.s)", "oldSelf.i <= self.i", "self.?n.orValue('') == ''", "quantity(self.s).isLessThan(quantity('3'))",
		"url(self.s).getHost() == ''", "self.l.map(x, self.l.map(y, x + y)).size() > 0", "'%s'.format([self])", "self.s.matches(self.s)", "[1,2,3].sum() == 6", "ip(self.s).family() == 4",
	} {
		f.Add(e, "'not ' + self.s", `{"s":"a","i":3,"l":["x","y"],"m":{"k":"v"}}`)
	}
	f.Fuzz(func(t *testing.T, rule, message, spec string) {
		rules, _ := stdjson.Marshal([]apiextensionsv1.ValidationRule{{Rule: rule, MessageExpression: message}})
		crd := defined(t, `{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-validations":`+string(rules)+`,"properties":{
			"s":{"type":"string","maxLength":30},"i":{"type":"integer"},"n":{"type":"string","maxLength":5},
			"l":{"type":"array","maxItems":5,"items":{"type":"string","maxLength":5}},"m":{"type":"object","maxProperties":5,"additionalProperties":{"type":"string","maxLength":5}}}}}}`)
		if len(apiextensions.Validate(context.Background(), crd)) > 0 {
			return
		}
		s, err := Compile(crd, "v1")
		if err != nil {
			t.Fatal(err)
		}
		obj := map[string]any{"apiVersion": "t.io/v1", "kind": "Thing", "spec": decoded(t, spec)}
		if _, err := s.Coerce(obj, Sent); err != nil {
			return
		}
		s.Validate(context.Background(), obj, nil)
		s.ValidateUpdate(context.Background(), obj, runtime.DeepCopyJSON(obj), nil)
	})
}
