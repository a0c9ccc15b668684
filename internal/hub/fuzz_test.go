package hub

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// upstreams are parts of the answers with 500 that upstream gives too.
var upstreams = []string{"failed to create typed patch object", "resourceVersion", "strconv.ParseUint", "does not contain declared merge key", "unknown patch type"}

// sane fails when the hub answers as if the fault were its own, but for what upstream answers so too.
func sane(t *testing.T, a answer, what string) {
	t.Helper()
	if a.code == 500 && !slices.ContainsFunc(upstreams, func(part string) bool { return strings.Contains(string(a.body), part) }) {
		t.Errorf("%s: %d %s", what, a.code, a.body)
	}
}

// Whatever a client sends, the fault is its own.
func FuzzRequest(f *testing.F) {
	h := start(f, nil)
	for _, s := range [][4]string{
		{"GET", "/api/v1/namespaces/default/configmaps", "application/json", ""},
		{"POST", "/api/v1/namespaces/default/configmaps", "application/json", configMap("x", "")},
		{"POST", "/api/v1/namespaces/default/pods?dryRun=All&fieldValidation=Strict", "application/yaml", "metadata: {name: x}\nspec: {containers: [{name: a, image: b}]}"},
		{"POST", "/api/v1/namespaces/default/configmaps", "application/vnd.kubernetes.protobuf", "k8s\x00\x0a"},
		{"POST", "/apis/apps/v1/namespaces/default/deployments", "application/cbor", "\xd9\xd9\xf7\xa0"},
		{"DELETE", "/api/v1/namespaces/default/configmaps/x", "application/json", `{"preconditions":{"uid":"x"},"propagationPolicy":"Orphan"}`},
		{"PUT", "/api/v1/namespaces/default/configmaps/x", "", `{"metadata":{"name":"x","resourceVersion":"1"}}`},
		{"GET", "/api/v1/namespaces/default/pods/x/log?follow=true", "", ""},
		{"GET", "/apis/discovery.k8s.io/v1", "", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3])
	}
	f.Fuzz(func(t *testing.T, method, path, kind, body string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || !strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \r\n") || strings.ContainsAny(kind, "\r\n") {
			t.Skip()
		}
		switch method {
		case "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS":
		default:
			t.Skip()
		}
		if q := u.Query(); q.Has("watch") || q.Has("follow") || strings.Contains(u.Path, "/watch") {
			t.Skip() // it would go on
		}
		sane(t, do(h, method, path, body, "Content-Type: "+kind), method+" "+path)
	})
}

// patched makes an object and patches it in one way.
func fuzzPatch(f *testing.F, contentType string, seeds ...string) {
	h := start(f, nil)
	const dep = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d","labels":{"a":"b"}},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"a","image":"b","ports":[{"containerPort":1}]}]}}}}`
	const deps = "/apis/apps/v1/namespaces/default/deployments"
	if a := do(h, "POST", deps, dep); a.code != 201 {
		f.Fatalf("%d %s", a.code, a.body)
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, patch string) {
		a := do(h, "PATCH", deps+"/d?fieldManager=f&dryRun=All", patch, "Content-Type: "+contentType)
		sane(t, a, patch)
		if a.code == 200 && !json.Valid(a.body) {
			t.Errorf("%s: not JSON: %s", patch, a.body)
		}
	})
}

func FuzzJSONPatch(f *testing.F) {
	fuzzPatch(f, "application/json-patch+json", `[{"op":"replace","path":"/spec/replicas","value":2}]`, `[{"op":"remove","path":"/metadata/labels/a"}]`,
		`[{"op":"copy","from":"/spec","path":"/metadata/annotations"}]`, `[{"op":"add","path":"/spec/template/spec/containers/-","value":{"name":"x","image":"y"}}]`, `[{"op":"test","path":"/metadata/labels/~1","value":null}]`)
}

func FuzzMergePatch(f *testing.F) {
	fuzzPatch(f, "application/merge-patch+json", `{"spec":{"replicas":2}}`, `{"metadata":{"labels":null}}`, `{"metadata":{"managedFields":[{}]}}`, `null`, `[]`, `{"spec":{"template":[]}}`)
}

func FuzzStrategicPatch(f *testing.F) {
	fuzzPatch(f, "application/strategic-merge-patch+json", `{"spec":{"template":{"spec":{"containers":[{"name":"a","$patch":"delete"}]}}}}`, `{"$patch":"replace","spec":{}}`,
		`{"spec":{"template":{"spec":{"$setElementOrder/containers":[{"name":"b"},{"name":"a"}],"containers":[{"name":"b","image":"c"}]}}}}`, `{"metadata":{"$deleteFromPrimitiveList/finalizers":["x"]}}`,
		`{"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}}`)
}

func FuzzApply(f *testing.F) {
	fuzzPatch(f, "application/apply-patch+yaml", `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"replicas":3}}`, "apiVersion: apps/v1\nkind: Deployment\nspec:\n  template:\n    spec:\n      containers: [{name: a, image: c}]\n",
		`{"apiVersion":"apps/v1","kind":"Deployment","spec":{"template":{"spec":{"containers":[{"name":"a"},{"name":"a"}]}}}}`, `{"apiVersion":"apps/v1beta1","kind":"Deployment"}`)
}

// Selectors and tokens of lists.
func FuzzListOptions(f *testing.F) {
	h := start(f, nil)
	for _, s := range [][3]string{{"a=b,c!=d,e in (f,g),!h", "metadata.name=x", ""}, {"", "metadata.name!=x,metadata.namespace=default", "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0"}, {"a notin (", "x=y", "%"}, {"a>1", `metadata.name=a\,b`, ""}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, labels, fields, token string) {
		q := url.Values{"labelSelector": {labels}, "fieldSelector": {fields}, "continue": {token}, "limit": {"2"}}
		sane(t, do(h, "GET", configMaps+"?"+q.Encode(), ""), q.Encode())
	})
}

// Definitions of custom resources that nobody would write.
func FuzzDefinition(f *testing.F) {
	h := start(f, nil)
	for _, s := range []string{`{"type":"object","properties":{"spec":{"type":"object","x-kubernetes-validations":[{"rule":"self.a > 1"}],"properties":{"a":{"type":"integer","default":2}}}}}`,
		`{"type":"object","x-kubernetes-preserve-unknown-fields":true}`, `{"type":"object","properties":{"l":{"type":"array","x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["k"],"items":{"type":"object","required":["k"],"properties":{"k":{"type":"string"}}}}}}`, `{"type":"string"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, schema string) {
		if !json.Valid([]byte(schema)) {
			t.Skip()
		}
		body := `{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"as.x.io"},"spec":{"group":"x.io","scope":"Namespaced","names":{"plural":"as","kind":"A"},"versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":` + schema + `}}]}}`
		sane(t, do(h, "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All", body), schema)
	})
}

// Policies in CEL that nobody would write: one that is taken is held against a write.
func FuzzPolicy(f *testing.F) {
	h := start(f, nil)
	for _, s := range [][2]string{{"object.data.size() < 2", "'x'"}, {"request.userInfo.username == 'a'", "string(object.metadata.name)"}, {"authorizer.group('').resource('pods').check('get').allowed()", ""}, {"[1,2,3].all(x, x > 0)", "'a' + 1"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, expression, message string) {
		v := map[string]any{"expression": expression}
		if message != "" {
			v["messageExpression"] = message
		}
		spec, err := json.Marshal(map[string]any{"validations": []any{v}, "matchConstraints": map[string]any{"resourceRules": []any{map[string]any{"operations": []string{"*"}, "apiGroups": []string{""}, "apiVersions": []string{"*"}, "resources": []string{"configmaps"}}}}})
		if err != nil {
			t.Skip()
		}
		const policies, bindings = policyPath + "validatingadmissionpolicies", policyPath + "validatingadmissionpolicybindings"
		a := do(h, "POST", policies, fmt.Sprintf(`{"metadata":{"name":"f"},"spec":%s}`, spec))
		sane(t, a, expression)
		if a.code != 201 {
			return
		}
		do(h, "POST", bindings, `{"metadata":{"name":"f"},"spec":{"policyName":"f","validationActions":["Deny"]}}`)
		sane(t, do(h, "POST", configMaps+"?dryRun=All", configMap("x", `"a":"b"`)), expression)
		do(h, "DELETE", bindings+"/f", "")
		do(h, "DELETE", policies+"/f", "")
	})
}
