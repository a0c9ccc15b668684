package hub

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/api/apitest"
)

const (
	gaugesV1    = "/apis/test.sampan.dev/v1/namespaces/default/gauges"
	gaugesV2    = "/apis/test.sampan.dev/v2/namespaces/default/gauges"
	mergeIt     = "Content-Type: application/merge-patch+json"
	applyIt     = "Content-Type: application/apply-patch+yaml"
	asTable     = "Accept: application/json;as=Table;g=meta.k8s.io;v=v1"
	acceptProto = "Accept: application/vnd.kubernetes.protobuf"
)

// startGauges runs a hub that serves apitest's kinds too.
func startGauges(t *testing.T) *Hub {
	t.Helper()
	return start(t, func(c *Config) { c.Kinds = api.NewKinds(append(all.Kinds().All(), apitest.Gauges()...)) })
}

func gaugeJSON(version, name, spec string) string {
	return fmt.Sprintf(`{"apiVersion":"test.sampan.dev/%s","kind":"Gauge","metadata":{"name":%q},"spec":{%s},"status":{"seen":true}}`, version, name, spec)
}

func mustGauge(t *testing.T, a answer, code int, field string, want any) {
	t.Helper()
	if a.code != code {
		t.Fatalf("%d %s, want %d", a.code, a.body, code)
	}
	if got := dig(a.object(t), field); got != want {
		t.Errorf("%s is %v, want %v: %s", field, got, want, a.body)
	}
}

// TestUntypedKind writes and reads objects that have no Go type through both of their versions.
func TestUntypedKind(t *testing.T) {
	h := startGauges(t)
	mustGauge(t, do(h, "POST", gaugesV1, gaugeJSON("v1", "a", `"level":7`)), 201, "spec.level", 7.0)
	mustGauge(t, do(h, "POST", gaugesV2, gaugeJSON("v2", "b", `"reading":"8 bar"`)), 201, "spec.reading", "8 bar")
	mustGauge(t, do(h, "GET", gaugesV2+"/a", ""), 200, "spec.reading", "7 bar")
	mustGauge(t, do(h, "GET", gaugesV1+"/b", ""), 200, "spec.level", 8.0)
	mustGauge(t, do(h, "GET", gaugesV1+"/b", ""), 200, "status", nil)
	mustGauge(t, do(h, "GET", gaugesV1+"/b", ""), 200, "apiVersion", "test.sampan.dev/v1")
	mustGauge(t, do(h, "PATCH", gaugesV2+"/a", `{"spec":{"reading":"9 bar"}}`, mergeIt), 200, "spec.reading", "9 bar")
	mustGauge(t, do(h, "PATCH", gaugesV1+"/a", `[{"op":"replace","path":"/spec/level","value":10}]`, "Content-Type: application/json-patch+json"), 200, "spec.level", 10.0)
	mustGauge(t, do(h, "PATCH", gaugesV1+"/a/status", `{"status":{"ok":1},"spec":{"level":1}}`, mergeIt), 200, "spec.level", 10.0)
	mustGauge(t, do(h, "PUT", gaugesV1+"/a", gaugeJSON("v1", "a", `"level":11`)), 200, "status.ok", 1.0)

	list := do(h, "GET", gaugesV2, "").object(t)
	if list["kind"] != "GaugeList" || len(list["items"].([]any)) != 2 {
		t.Errorf("list: %v", list)
	}
	if l := do(h, "GET", gaugesV1+"?fieldSelector=spec.level=8", "").object(t); len(l["items"].([]any)) != 1 {
		t.Errorf("selected: %v", l)
	}
	table := do(h, "GET", gaugesV1, "", asTable).object(t)
	rows := table["rows"].([]any)
	if cells := rows[0].(map[string]any)["cells"].([]any); table["kind"] != "Table" || len(rows) != 2 || cells[1] != "11" {
		t.Errorf("table: %v", table)
	}
	if d := do(h, "DELETE", gaugesV2+"/b", ""); d.code != 200 {
		t.Errorf("delete: %d %s", d.code, d.body)
	}
}

// TestUntypedApply has two managers share an object through its two versions.
func TestUntypedApply(t *testing.T) {
	h := startGauges(t)
	first := `{"apiVersion":"test.sampan.dev/v1","kind":"Gauge","metadata":{"name":"a","labels":{"x":"1"}},"spec":{"level":1}}`
	mustGauge(t, do(h, "PATCH", gaugesV1+"/a?fieldManager=one", first, applyIt), 201, "metadata.labels.x", "1")
	other := `{"apiVersion":"test.sampan.dev/v2","kind":"Gauge","metadata":{"name":"a","labels":{"y":"2"}}}`
	both := do(h, "PATCH", gaugesV2+"/a?fieldManager=two", other, applyIt)
	mustGauge(t, both, 200, "metadata.labels.x", "1")
	mustGauge(t, both, 200, "metadata.labels.y", "2")
	if managers := dig(both.object(t), "metadata.managedFields").([]any); len(managers) != 2 {
		t.Errorf("managers: %v", managers)
	}
	clash := `{"apiVersion":"test.sampan.dev/v2","kind":"Gauge","metadata":{"name":"a"},"spec":{"reading":"5 bar"}}`
	if a := do(h, "PATCH", gaugesV2+"/a?fieldManager=two", clash, applyIt); a.code != 409 || !strings.Contains(string(a.body), ".spec.level") /* as its owner calls it */ {
		t.Errorf("what another manager owns by another version: %d %s", a.code, a.body)
	}
	mustGauge(t, do(h, "PATCH", gaugesV2+"/a?fieldManager=two&force=true", clash, applyIt), 200, "spec.reading", "5 bar")
	gone := do(h, "PATCH", gaugesV1+"/a?fieldManager=one", `{"apiVersion":"test.sampan.dev/v1","kind":"Gauge","metadata":{"name":"a"}}`, applyIt)
	mustGauge(t, gone, 200, "metadata.labels.x", nil)
	mustGauge(t, gone, 200, "spec.level", 5.0)
}

// TestUntypedForms asks for what maps do not have, and sends it.
func TestUntypedForms(t *testing.T) {
	h := startGauges(t)
	mustGauge(t, do(h, "POST", gaugesV1, gaugeJSON("v1", "a", `"level":7`)), 201, "spec.level", 7.0)
	for _, c := range []struct {
		what, method, path, body, header string
		code                             int
		says                             string
	}{
		{"an object as protobuf", "GET", gaugesV1 + "/a", "", acceptProto, 406, "object *unstructured.Unstructured does not implement the protobuf marshalling interface"},
		{"a list as protobuf", "GET", gaugesV1, "", acceptProto, 406, "object *unstructured.UnstructuredList does not implement"},
		{"a watch as protobuf", "GET", gaugesV1 + "?watch=1", "", acceptProto, 406, "does not implement the protobuf marshalling interface"},
		{"metadata as protobuf", "GET", gaugesV1 + "/a", "", acceptProto + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1", 200, "PartialObjectMetadata"},
		{"a strategic merge", "PATCH", gaugesV1 + "/a", `{}`, "Content-Type: application/strategic-merge-patch+json", 415, "application/merge-patch+json, application/apply-patch+yaml"},
		{"another kind", "PATCH", gaugesV1 + "/a", `{"kind":"Clock"}`, mergeIt, 422, `"Clock.test.sampan.dev \"a\" is invalid: kind: Invalid value: \"Clock\": must be Gauge"`},
		{"another version by a patch", "PATCH", gaugesV1 + "/a", `{"apiVersion":"test.sampan.dev/v2"}`, mergeIt, 422, `apiVersion: Invalid value: \"test.sampan.dev/v2\": must be test.sampan.dev/v1`},
		{"no kind", "POST", gaugesV1, `{"metadata":{"name":"b"}}`, "", 400, "Object 'Kind' is missing"},
		{"another version", "POST", gaugesV1, gaugeJSON("v2", "b", ``), "", 400, "does not match the expected API version"},
		{"a field twice", "POST", gaugesV1 + "?fieldValidation=Strict", gaugeJSON("v1", "b", `"level":1,"level":2`), "", 400, "duplicate field"},
	} {
		a := do(h, c.method, c.path, c.body, strings.Split(c.header, "\n")...)
		if a.code != c.code || !strings.Contains(string(a.body), c.says) {
			t.Errorf("%s: %d %s, want %d and %q", c.what, a.code, a.body, c.code, c.says)
		}
	}
}

// TestConversionFails reads an object that cannot be converted: alone, in a list and by a watch.
func TestConversionFails(t *testing.T) {
	h := startGauges(t)
	mustGauge(t, do(h, "POST", gaugesV1, gaugeJSON("v1", "a", `"level":7`)), 201, "spec.level", 7.0)
	server := httptest.NewServer(h.Handler())
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+gaugesV2+"?watch=1&resourceVersion=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	w, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	events := bufio.NewScanner(w.Body)
	next := func() (e struct {
		Type   string
		Object map[string]any
	}) {
		if !events.Scan() {
			t.Fatalf("the watch ended: %v", events.Err())
		}
		if err := json.Unmarshal(events.Bytes(), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := next(); e.Type != "ADDED" || dig(e.Object, "spec.reading") != "7 bar" {
		t.Errorf("event: %v", e)
	}
	stuck := strings.Replace(gaugeJSON("v1", "b", `"level":8`), `"name"`, `"labels":{"stuck":"1"},"name"`, 1)
	mustGauge(t, do(h, "POST", gaugesV1, stuck), 201, "spec.level", 8.0)
	if e := next(); e.Type != "ERROR" || e.Object["code"] != 500.0 || e.Object["message"] != "the gauge is stuck" {
		t.Errorf("event: %v", e)
	}
	if events.Scan() {
		t.Errorf("after the error: %s", events.Bytes())
	}
	for _, path := range []string{gaugesV2 + "/b", gaugesV2} {
		if a := do(h, "GET", path, ""); a.code != 500 || a.status(t).Message != "the gauge is stuck" {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	mustGauge(t, do(h, "GET", gaugesV1+"/b", ""), 200, "spec.level", 8.0)
	mustGauge(t, do(h, "GET", gaugesV2+"/a", ""), 200, "spec.reading", "7 bar")
	if a := do(h, "PATCH", gaugesV2+"/b", `{"spec":{"reading":"1 bar"}}`, mergeIt); a.code != 500 {
		t.Errorf("patch: %d %s", a.code, a.body)
	}
}
