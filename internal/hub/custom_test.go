package hub

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	pears       = "/apis/fruit.example/v1/namespaces/default/pears"
)

// pearDefinition is a definition with everything in it; versions is what is between the brackets of spec.versions.
func pearDefinition(plural, kind, versions string) string {
	return fmt.Sprintf(`{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"%[1]s.fruit.example"},
	"spec":{"group":"fruit.example","scope":"Namespaced","names":{"plural":%[1]q,"kind":%[2]q,"shortNames":["%[1]s-s"],"categories":["fruit"]},
	"versions":[%[3]s]}}`, plural, kind, versions)
}

const pearSchema = `"schema":{"openAPIV3Schema":{"type":"object","properties":{
	"spec":{"type":"object","properties":{"replicas":{"type":"integer","default":2},"color":{"type":"string","enum":["red","green"]},"ripe":{"type":"string","default":"no"}}},
	"status":{"type":"object","properties":{"replicas":{"type":"integer"},"phase":{"type":"string"}}}}}}`

const pearV1 = `{"name":"v1","served":true,"storage":true,` + pearSchema + `,
	"subresources":{"status":{},"scale":{"specReplicasPath":".spec.replicas","statusReplicasPath":".status.replicas"}},
	"additionalPrinterColumns":[{"name":"Color","type":"string","jsonPath":".spec.color"},{"name":"Replicas","type":"integer","jsonPath":".spec.replicas","priority":1},{"name":"Since","type":"date","jsonPath":".metadata.creationTimestamp"}],
	"selectableFields":[{"jsonPath":".spec.color"}]}`

func pearJSON(version, name, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"fruit.example/%s","kind":"Pear","metadata":{"name":%q},"spec":{%s}}`, version, name, spec)
}

// establish creates a definition and waits until its objects are served.
func establish(t *testing.T, h *Hub, definition string) {
	t.Helper()
	a := expect(t, h, "201 POST "+definitions, definition)
	name := dig(a.object(t), "metadata.name").(string)
	synctest.Wait()
	if c := conditions(t, h, name); !strings.Contains(c, "Established=True InitialNamesAccepted") {
		t.Fatalf("%s: %s", name, c)
	}
}

// conditions are those of a definition in a line.
func conditions(t *testing.T, h *Hub, name string) string {
	t.Helper()
	var out []string
	list, _ := dig(expect(t, h, "200 GET "+definitions+"/"+name, "").object(t), "status.conditions").([]any)
	for _, c := range list {
		m := c.(map[string]any)
		out = append(out, fmt.Sprintf("%s=%s %s: %s", m["type"], m["status"], m["reason"], m["message"]))
	}
	return strings.Join(out, "; ")
}

// Objects of a definition are written and read in every way, and go with it.
func TestCustomResources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, bare)
		expect(t, h, "404 GET "+pears, "")
		establish(t, h, pearDefinition("pears", "Pear", pearV1))
		if c := conditions(t, h, "pears.fruit.example"); c != "NamesAccepted=True NoConflicts: no conflicts found; Established=True InitialNamesAccepted: the initial names have been accepted" {
			t.Error(c)
		}
		expect(t, h, "200 GET /apis/fruit.example/v1", "")

		a := expect(t, h, "201 POST "+pears, pearJSON("v1", "a", `"color":"red","zz":1`))
		if w := a.header.Values("Warning"); len(w) != 1 || w[0] != `299 - "unknown field \"spec.zz\""` {
			t.Errorf("warnings: %q", w)
		}
		mustGauge(t, a, 201, "spec.replicas", 2.0)
		mustGauge(t, a, 201, "spec.zz", nil)
		mustGauge(t, a, 201, "metadata.generation", 1.0)
		if a := expect(t, h, "400 POST "+pears+"?fieldValidation=Strict", pearJSON("v1", "b", `"zz":1`)); a.status(t).Message != `Pear in version "v1" cannot be handled as a Pear: strict decoding error: unknown field "spec.zz"` {
			t.Errorf("%s", a.body)
		}
		if a := expect(t, h, "422 POST "+pears, pearJSON("v1", "b", `"color":"blue"`)); a.status(t).Message != `Pear.fruit.example "b" is invalid: spec.color: Unsupported value: "blue": supported values: "red", "green"` {
			t.Errorf("%s", a.body)
		}
		mustGauge(t, do(h, "PATCH", pears+"/a", `{"spec":{"color":"green"},"status":{"phase":"x"}}`, mergeIt), 200, "metadata.generation", 2.0)
		mustGauge(t, do(h, "PATCH", pears+"/a", `{"metadata":{"labels":{"a":"b"}}}`, mergeIt), 200, "metadata.generation", 2.0)
		a = do(h, "PATCH", pears+"/a/status", `{"metadata":{"labels":{"c":"d"}},"spec":{"color":"red"},"status":{"phase":"x","replicas":1}}`, mergeIt)
		mustGauge(t, a, 200, "status.phase", "x")
		mustGauge(t, a, 200, "spec.color", "green")
		mustGauge(t, a, 200, "metadata.labels.c", nil)
		mustGauge(t, a, 200, "metadata.generation", 2.0)
		// A spec that the count is the first of has its defaults, for whoever reads it next.
		expect(t, h, "201 POST "+pears, `{"apiVersion":"fruit.example/v1","kind":"Pear","metadata":{"name":"bare"}}`)
		expect(t, h, "200 PATCH "+pears+"/bare/scale", `{"spec":{"replicas":7}}`, mergeIt)
		mustGauge(t, expect(t, h, "200 GET "+pears+"/bare", ""), 200, "spec.ripe", "no")
		mustGauge(t, do(h, "PATCH", pears+"/bare", `{"metadata":{"labels":{"a":"b"}}}`, mergeIt), 200, "metadata.generation", 2.0)
		expect(t, h, "200 DELETE "+pears+"/bare", "")
		for _, a := range []answer{do(h, "PATCH", pears+"/a/scale", `{"spec":{"replicas":-1}}`, mergeIt), do(h, "PATCH", pears+"/a", `{"spec":{"replicas":-1}}`, mergeIt)} {
			if want := `Pear.fruit.example "a" is invalid: .spec.replicas: Invalid value: -1: should be a non-negative integer`; a.code != 422 || a.status(t).Message != want {
				t.Errorf("fewer than none: %d %s", a.code, a.body)
			}
		}
		scaled := do(h, "PATCH", pears+"/a/scale", `{"spec":{"replicas":5}}`, mergeIt)
		mustGauge(t, scaled, 200, "status.replicas", 1.0)
		mustGauge(t, do(h, "GET", pears+"/a", ""), 200, "spec.replicas", 5.0)
		expect(t, h, "415 PATCH "+pears+"/a", `{}`, "Content-Type: application/strategic-merge-patch+json")
		expect(t, h, "406 GET "+pears+"/a", "", acceptProto)

		applied := pearJSON("v1", "c", `"color":"red"`)
		mustGauge(t, do(h, "PATCH", pears+"/c?fieldManager=me", applied, applyIt), 201, "spec.replicas", 2.0)
		a = do(h, "PATCH", pears+"/c?fieldManager=me", pearJSON("v1", "c", `"zz":"red"`), applyIt)
		if a.code != 500 || a.status(t).Message != `failed to create typed patch object (/c; fruit.example/v1, Kind=Pear): .spec.zz: field not declared in schema` || a.status(t).Reason != "" {
			t.Errorf("%s", a.body)
		}
		if l := do(h, "GET", pears+"?fieldSelector=spec.color=red", "").object(t); len(l["items"].([]any)) != 1 || l["kind"] != "PearList" {
			t.Errorf("selected: %v", l)
		}
		if a := expect(t, h, "400 GET "+pears+"?fieldSelector=spec.replicas=2", ""); a.status(t).Message != "field label not supported: spec.replicas" {
			t.Errorf("%s", a.body)
		}
		table := do(h, "GET", pears, "", asTable).object(t)
		cells := table["rows"].([]any)[0].(map[string]any)["cells"].([]any)
		if fmt.Sprint(cells) != "[a green 5 0s]" {
			t.Errorf("cells: %v", cells)
		}
		useUpAndDelete(t, h)
	})
}

// useUpAndDelete deletes the definition with its objects while they are watched.
func useUpAndDelete(t *testing.T, h *Hub) {
	t.Helper()
	events := watchGuest(t, h, schema.GroupVersionResource{Group: "fruit.example", Version: "v1", Resource: "pears"})
	mustGauge(t, do(h, "PATCH", pears+"/a", `{"metadata":{"finalizers":["fruit.example/stay"]}}`, mergeIt), 200, "metadata.generation", 2.0+1)
	if ev := <-events; ev.Type != watch.Modified {
		t.Errorf("%v", ev)
	}
	a := expect(t, h, "200 DELETE "+definitions+"/pears.fruit.example?propagationPolicy=Foreground", "")
	if f := dig(a.object(t), "metadata.finalizers"); fmt.Sprint(f) != "[customresourcecleanup.apiextensions.k8s.io]" {
		t.Errorf("finalizers: %v", f)
	}
	mustGauge(t, a, 200, "metadata.generation", 1.0)
	synctest.Wait()
	if c := conditions(t, h, "pears.fruit.example"); !strings.HasSuffix(c, "Terminating=True InstanceDeletionInProgress: CustomResource deletion is in progress") {
		t.Error(c)
	}
	if a := expect(t, h, "403 POST "+pears, pearJSON("v1", "new", "")); a.status(t).Message != `pears.fruit.example "new" is forbidden: create not allowed while custom resource definition is terminating` {
		t.Errorf("%s", a.body)
	}
	list := do(h, "GET", "/apis/fruit.example/v1", "").object(t)
	if v := list["resources"].([]any)[0].(map[string]any)["verbs"]; fmt.Sprint(v) != "[delete deletecollection get list watch]" {
		t.Errorf("verbs: %v", v)
	}
	expect(t, h, "200 PATCH "+pears+"/a", `{"metadata":{"finalizers":null}}`, mergeIt)
	time.Sleep(2 * time.Second)
	expect(t, h, "404 GET "+definitions+"/pears.fruit.example", "")
	expect(t, h, "404 GET "+pears, "")
	var seen []watch.EventType
	for ev := range events {
		seen = append(seen, ev.Type)
	}
	slices.Sort(seen[:min(2, len(seen))]) // the objects are deleted side by side
	if !slices.Equal(seen, []watch.EventType{watch.Deleted, watch.Modified, watch.Deleted}) {
		t.Errorf("events: %v", seen)
	}
}

// A definition gets those of its names that nobody else has, and the others once they are free.
func TestCustomResourceNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, bare)
		establish(t, h, pearDefinition("pears", "Pear", pearV1))
		second := strings.Replace(pearDefinition("quinces", "Quince", pearV1), `"kind":"Quince"`, `"kind":"Quince","listKind":"PearList"`, 1)
		expect(t, h, "201 POST "+definitions, second)
		synctest.Wait()
		if c := conditions(t, h, "quinces.fruit.example"); c != `NamesAccepted=False ListKindConflict: "PearList" is already in use; Established=False NotAccepted: not all names are accepted` {
			t.Error(c)
		}
		got := dig(expect(t, h, "200 GET "+definitions+"/quinces.fruit.example", "").object(t), "status.acceptedNames").(map[string]any)
		if got["plural"] != "quinces" || got["singular"] != "quince" || got["kind"] != "Quince" || got["listKind"] != nil {
			t.Errorf("accepted: %v", got)
		}
		expect(t, h, "404 GET /apis/fruit.example/v1/quinces", "")
		expect(t, h, "200 DELETE "+definitions+"/pears.fruit.example", "")
		time.Sleep(2 * time.Second)
		if c := conditions(t, h, "quinces.fruit.example"); !strings.Contains(c, "NamesAccepted=True") || !strings.Contains(c, "Established=True") {
			t.Error(c)
		}
		expect(t, h, "200 GET /apis/fruit.example/v1/quinces", "")
	})
}

// Objects that were stored in one version are read in others, also when another version is stored from then on.
func TestCustomResourceVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, bare)
		v2 := strings.Replace(strings.Replace(pearV1, `"v1"`, `"v2"`, 1), `"storage":true`, `"storage":false`, 1)
		old := strings.Replace(v2, `"v2"`, `"v1beta1","deprecated":true`, 1)
		establish(t, h, pearDefinition("pears", "Pear", strings.Join([]string{pearV1, v2, old}, ",")))
		in := func(version string) string { return strings.Replace(pears, "/v1/", "/"+version+"/", 1) }
		mustGauge(t, do(h, "POST", pears, pearJSON("v1", "a", `"color":"red"`)), 201, "apiVersion", "fruit.example/v1")
		mustGauge(t, do(h, "POST", in("v2"), pearJSON("v2", "b", `"color":"green"`)), 201, "apiVersion", "fruit.example/v2")
		mustGauge(t, do(h, "GET", in("v2")+"/a", ""), 200, "apiVersion", "fruit.example/v2")
		mustGauge(t, do(h, "GET", pears+"/b", ""), 200, "apiVersion", "fruit.example/v1")
		a := do(h, "GET", in("v1beta1"), "")
		if w := a.header.Get("Warning"); w != `299 - "fruit.example/v1beta1 Pear is deprecated; use fruit.example/v2 Pear"` {
			t.Error(w)
		}
		events := watchGuest(t, h, schema.GroupVersionResource{Group: "fruit.example", Version: "v2", Resource: "pears"})

		def := expect(t, h, "200 GET "+definitions+"/pears.fruit.example", "")
		text := strings.Replace(string(def.body), `"storage":true`, `"storage":x`, 1)
		text = strings.Replace(strings.Replace(text, `"storage":false`, `"storage":true`, 1), `"storage":x`, `"storage":false`, 1)
		put := expect(t, h, "200 PUT "+definitions+"/pears.fruit.example", text)
		if v := dig(put.object(t), "status.storedVersions"); fmt.Sprint(v) != "[v1 v2]" {
			t.Errorf("stored versions: %v", v)
		}
		synctest.Wait()
		if ev, open := <-events; open {
			t.Errorf("the watch goes on: %v", ev)
		}
		if items := do(h, "GET", pears, "").object(t)["items"].([]any); len(items) != 2 || items[0].(map[string]any)["apiVersion"] != "fruit.example/v1" {
			t.Errorf("items: %v", items)
		}
		mustGauge(t, do(h, "PATCH", in("v1beta1")+"/a", `{"spec":{"color":"green"}}`, mergeIt), 200, "apiVersion", "fruit.example/v1beta1")
		mustGauge(t, do(h, "PATCH", in("v2")+"/a?fieldManager=me&force=true", pearJSON("v2", "a", `"color":"red"`), applyIt), 200, "spec.color", "red")
		if items := do(h, "GET", in("v2")+"?fieldSelector=spec.color=red", "").object(t)["items"].([]any); len(items) != 1 {
			t.Errorf("items: %v", items)
		}
		expect(t, h, "200 DELETE "+in("v1beta1")+"/a", "")
	})
}

// Versions that another program converts are stored in one and read in the other, listed and watched, and its refusals are told.
func TestCustomResourceConversion(t *testing.T) {
	mux := http.NewServeMux()
	var calls atomic.Int32
	mux.HandleFunc("/convert", func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var review struct {
			Kind, APIVersion string
			Request          struct {
				UID, DesiredAPIVersion string
				Objects                []map[string]any
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		result := map[string]any{"status": "Success"}
		for _, o := range review.Request.Objects {
			spec, _ := o["spec"].(map[string]any)
			from, to := "color", "colour"
			if review.Request.DesiredAPIVersion == "fruit.example/v1" {
				from, to = to, from
			}
			if v, ok := spec[from]; ok {
				delete(spec, from)
				spec[to] = v
			}
			if dig(o, "metadata.labels.stuck") != nil {
				result = map[string]any{"status": "Failure", "message": "the pear is stuck"}
			}
			o["apiVersion"] = review.Request.DesiredAPIVersion
		}
		json.NewEncoder(w).Encode(map[string]any{"kind": review.Kind, "apiVersion": review.APIVersion, "response": map[string]any{
			"uid": review.Request.UID, "result": result, "convertedObjects": review.Request.Objects,
		}})
	})
	srv := httptest.NewTLSServer(mux)
	defer srv.Close()
	h := start(t, nil)
	schemaOf := func(field string) string {
		return `"schema":{"openAPIV3Schema":{"type":"object","properties":{"spec":{"type":"object","properties":{"` + field + `":{"type":"string"}}}}}}`
	}
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}))
	def := pearDefinition("pears", "Pear", `{"name":"v1","served":true,"storage":true,`+schemaOf("color")+`},{"name":"v2","served":true,"storage":false,`+schemaOf("colour")+`}`)
	def = strings.Replace(def, `"scope"`, fmt.Sprintf(`"conversion":{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],"clientConfig":{"url":"%s/convert","caBundle":"%s"}}},"scope"`, srv.URL, ca), 1)
	expect(t, h, "201 POST "+definitions, def)
	v2 := strings.Replace(pears, "/v1/", "/v2/", 1)
	for deadline := time.Now().Add(20 * time.Second); do(h, "GET", v2, "").code != 200; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never served: %s", conditions(t, h, "pears.fruit.example"))
		}
	}
	mustGauge(t, do(h, "POST", pears, pearJSON("v1", "a", `"color":"red"`)), 201, "spec.color", "red")
	mustGauge(t, do(h, "GET", v2+"/a", ""), 200, "spec.colour", "red")
	mustGauge(t, do(h, "POST", v2, pearJSON("v2", "b", `"colour":"green"`)), 201, "spec.colour", "green")
	mustGauge(t, do(h, "GET", pears+"/b", ""), 200, "spec.color", "green")
	mustGauge(t, do(h, "PATCH", v2+"/a", `{"spec":{"colour":"blue"}}`, mergeIt), 200, "spec.colour", "blue")
	mustGauge(t, do(h, "PATCH", v2+"/b?fieldManager=me&force=true", pearJSON("v2", "b", `"colour":"black"`), applyIt), 200, "spec.colour", "black")
	for range 2 {
		before := calls.Load()
		if items := do(h, "GET", v2, "").object(t)["items"].([]any); len(items) != 2 || dig(items[0].(map[string]any), "spec.colour") != "blue" {
			t.Errorf("items: %v", items)
		}
		if n := calls.Load() - before; n > 2 {
			t.Errorf("a list of two asked %d times", n)
		}
	}
	before := calls.Load()
	do(h, "GET", v2, "")
	if n := calls.Load() - before; n != 0 {
		t.Errorf("objects that were converted are converted again: %d times", n)
	}
	stuck := strings.Replace(pearJSON("v1", "c", `"color":"red"`), `"name"`, `"labels":{"stuck":"1"},"name"`, 1)
	expect(t, h, "201 POST "+pears, stuck)
	if a := expect(t, h, "500 GET "+v2+"/c", ""); a.status(t).Message != "conversion webhook for fruit.example/v1, Kind=Pear failed: the pear is stuck" {
		t.Errorf("%s", a.body)
	}
	expect(t, h, "500 GET "+v2, "")
	expect(t, h, "200 GET "+pears, "")
}
