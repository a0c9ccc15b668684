package apiextensions

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const full = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pears.fruit.example, labels: {a: b}}
spec:
  group: fruit.example
  scope: Namespaced
  names: {plural: pears, kind: Pear, shortNames: [pr], categories: []}
  conversion:
    strategy: Webhook
    webhook: {conversionReviewVersions: [v1], clientConfig: {service: {namespace: n, name: s}}}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.num, statusReplicasPath: .status.num}}
    selectableFields: [{jsonPath: .spec.color}]
    additionalPrinterColumns: [{name: Color, type: string, jsonPath: .spec.color}]
    schema: {openAPIV3Schema: {type: object, required: [], properties: {
      spec: {type: object, default: {}, properties: {color: {type: string, enum: [red, "1"], default: red}, num: {type: integer}, any: {x-kubernetes-preserve-unknown-fields: true}, l: {type: array, items: {type: string}}, m: {type: object, additionalProperties: {type: string}}}},
      status: {type: object, properties: {num: {type: integer}}}}}}
  - {name: v2, served: true, storage: false, deprecated: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {color: {type: string}}}}}}}
`

func definition(t *testing.T, text string) *Definition {
	t.Helper()
	d := &Definition{}
	if err := yaml.Unmarshal([]byte(text), d); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDefaults(t *testing.T) {
	k := Definitions()
	d := definition(t, full)
	d.Status.Conditions = []Condition{{Type: "X"}}
	k.Default(d)
	k.PrepareCreate(d)
	n := d.Spec.Names
	if n.Singular != "pear" || n.ListKind != "PearList" || *d.Spec.Conversion.Webhook.ClientConfig.Service.Port != 443 {
		t.Errorf("%+v", d.Spec)
	}
	codec{}.Settle(d)
	if text, err := api.EncodeJSON(d); err != nil || !strings.Contains(string(text), `"conditions":[]`) {
		t.Errorf("%v: kubectl wait fails where there are no conditions: %s", err, text)
	}
	if d.Generation != 1 || len(d.Status.Conditions) > 0 || fmt.Sprint(d.Status.StoredVersions) != "[v1]" {
		t.Errorf("%d %+v", d.Generation, d.Status)
	}
	if errs := k.Validate(d); len(errs) > 0 {
		t.Error(errs)
	}
	plain := definition(t, full)
	plain.Spec.Conversion = nil
	k.Default(plain)
	if plain.Spec.Conversion.Strategy != apiextensionsv1.NoneConverter {
		t.Errorf("%+v", plain.Spec.Conversion)
	}
}

func TestUpdates(t *testing.T) {
	k := Definitions()
	old := definition(t, full)
	k.Default(old)
	k.PrepareCreate(old)
	put(old, "Established")
	d := old.DeepCopy()
	d.Labels, d.Status = nil, apiextensionsv1.CustomResourceDefinitionStatus{}
	k.PrepareUpdate(d, old)
	if d.Generation != 1 || len(d.Status.Conditions) != 1 {
		t.Errorf("labels alone: %d %+v", d.Generation, d.Status)
	}
	d.Spec.Versions[0].Storage, d.Spec.Versions[1].Storage = false, true
	k.PrepareUpdate(d, old)
	if d.Generation != 2 || fmt.Sprint(d.Status.StoredVersions) != "[v1 v2]" || fmt.Sprint(old.Status.StoredVersions) != "[v1]" {
		t.Errorf("%d %v, was %v", d.Generation, d.Status.StoredVersions, old.Status.StoredVersions)
	}
	d.ResourceVersion = "1"
	if errs := k.ValidateUpdate(d, old); len(errs) > 0 {
		t.Error(errs)
	}
	status := d.DeepCopy()
	status.Spec.Group, status.Status.StoredVersions = "other", []string{"v9"}
	sub := k.Sub("status")
	sub.PrepareUpdate(status, d)
	if errs := sub.ValidateUpdate(status, d); len(errs) != 0 || status.Spec.Group != "fruit.example" {
		t.Errorf("%v", errs)
	}
}

func put(d *Definition, t ConditionType) {
	SetCondition(d, Condition{Type: t, Status: apiextensionsv1.ConditionTrue})
}

func TestInvalid(t *testing.T) {
	k := Definitions()
	for _, c := range []struct{ from, to, want string }{
		{"name: pears.fruit.example", "name: pears.other", `metadata.name: Invalid value: "pears.other": must be spec.names.plural+"."+spec.group`},
		{"storage: true", "storage: false", `spec.versions: Invalid value: `},
		{"scope: Namespaced", "scope: Wide", `spec.scope: Unsupported value: "Wide": supported values: "Cluster", "Namespaced"`},
		{"{type: integer}, any", "{type: int}, any", `spec.versions[0].schema.openAPIV3Schema.properties[spec].properties[num].type: Unsupported value: "int"`},
		{"default: red", "default: blue", `.properties[color].default: Unsupported value: "blue"`},
	} {
		d := definition(t, strings.Replace(full, c.from, c.to, 1))
		k.Default(d)
		k.PrepareCreate(d)
		if errs := k.Validate(d); len(errs) == 0 || !strings.Contains(errs.ToAggregate().Error(), c.want) {
			t.Errorf("%s: %v", c.to, errs)
		}
	}
}

func TestWarnings(t *testing.T) {
	k := Definitions()
	d := definition(t, strings.Replace(full, "{type: integer}, any", "{type: string, format: odd}, any", 1))
	if w := k.Warnings(d, nil); fmt.Sprint(w) != `[unrecognized format "odd"]` {
		t.Errorf("%q", w)
	}
	if w := k.Warnings(d, d); len(w) > 0 {
		t.Errorf("again: %q", w)
	}
}

func TestDeletion(t *testing.T) {
	k := Definitions()
	d := definition(t, full)
	k.Termination.Begin(d, metav1.Unix(1e9, 0))
	k.Termination.Begin(d, metav1.Unix(1e9, 0))
	if len(d.Finalizers) != 1 || d.DeletionTimestamp == nil || !IsTrue(d, apiextensionsv1.Terminating) || k.Termination.Held(d) {
		t.Errorf("%+v %+v", d.ObjectMeta, d.Status)
	}
}

func TestRow(t *testing.T) {
	k := Definitions()
	d := definition(t, full)
	put(d, apiextensionsv1.Established)
	d.CreationTimestamp = metav1.Unix(1e9, 0)
	want := "[pears.fruit.example Namespaced v1(storage),v2 2001-09-09T01:46:40Z fruit.example Pear pr true]"
	if got := fmt.Sprint(k.Row(d)); got != want || len(k.Columns) != 8 {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// What the cache holds of a definition that was written is what others read, who decode what is stored.
func TestStoredForm(t *testing.T) {
	k := Definitions()
	c := api.CodecOf(k)
	d := definition(t, full)
	k.Default(d)
	k.PrepareCreate(d)
	put(d, apiextensionsv1.Established)
	c.Settle(d)
	data, err := c.Encode(d)
	if err != nil {
		t.Fatal(err)
	}
	back, err := c.Decode(data, k.New())
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Encode(back)
	if err != nil || !bytes.Equal(data, again) || !json.Valid(data) {
		t.Errorf("%v\n%s\n%s", err, data, again)
	}
}

// Upstream stores definitions in a version that it no longer serves, with what all versions have in common in one place.
func TestUpstreamsStoredForm(t *testing.T) {
	const old = `{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1beta1","metadata":{"name":"pears.fruit.example","uid":"u"},
	"spec":{"group":"fruit.example","version":"v1","names":{"plural":"pears","singular":"pear","kind":"Pear","listKind":"PearList"},"scope":"Namespaced",
	"validation":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object"}}}},"subresources":{"status":{}},
	"versions":[{"name":"v1","served":true,"storage":true}],"conversion":{"strategy":"None"},"preserveUnknownFields":false},
	"status":{"conditions":[{"type":"Established","status":"True","lastTransitionTime":"2026-01-01T00:00:00Z","reason":"InitialNamesAccepted","message":"m"}],
	"acceptedNames":{"plural":"pears","kind":"Pear"},"storedVersions":["v1"]}}`
	obj, err := api.CodecOf(Definitions()).Decode([]byte(old), &Definition{})
	if err != nil {
		t.Fatal(err)
	}
	d := obj.(*Definition)
	v := d.Spec.Versions[0]
	if d.APIVersion != "apiextensions.k8s.io/v1" || d.UID != "u" || v.Schema == nil || v.Schema.OpenAPIV3Schema.Properties["spec"].Type != "object" ||
		v.Subresources == nil || v.Subresources.Status == nil || !IsTrue(d, apiextensionsv1.Established) {
		t.Errorf("%+v", d)
	}
}
