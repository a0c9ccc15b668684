package hub

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"sampan.dev/internal/api/apitest"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/pki"

	admissionv1 "k8s.io/api/admission/v1"
)

const (
	mutatingPath   = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
	validatingPath = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
	configMaps     = "/api/v1/namespaces/default/configmaps"
)

// hookServer is a server of webhooks. What it answers is decided by path; it keeps what it was asked.
type hookServer struct {
	*httptest.Server
	mu struct {
		sync.Mutex
		answers map[string]func(*admissionv1.AdmissionReview) any // an AdmissionResponse, or any other value to send as it is
		asked   map[string][]json.RawMessage
	}
}

func newHookServer(t *testing.T) *hookServer {
	s := &hookServer{}
	s.mu.answers, s.mu.asked = map[string]func(*admissionv1.AdmissionReview) any{}, map[string][]json.RawMessage{}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *hookServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body json.RawMessage
	var review admissionv1.AdmissionReview
	if err := json.NewDecoder(r.Body).Decode(&body); err == nil {
		_ = json.Unmarshal(body, &review)
	}
	s.mu.Lock()
	s.mu.asked[r.URL.Path] = append(s.mu.asked[r.URL.Path], body)
	answer := s.mu.answers[r.URL.Path]
	s.mu.Unlock()
	if answer == nil || review.Request == nil {
		http.Error(w, "nobody is here", http.StatusNotFound)
		return
	}
	switch out := answer(&review).(type) {
	case func(http.ResponseWriter, *http.Request):
		out(w, r)
	case *admissionv1.AdmissionResponse:
		out.UID = review.Request.UID
		review.Request, review.Response = nil, out
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(out)
	}
}

func (s *hookServer) on(path string, f func(*admissionv1.AdmissionReview) any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.answers[path] = f
}

// asked returns the requests that came to a path, and forgets them.
func (s *hookServer) asked(t *testing.T, path string) []map[string]any {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []map[string]any
	for _, raw := range s.mu.asked[path] {
		var m map[string]any
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		out = append(out, m["request"].(map[string]any))
	}
	delete(s.mu.asked, path)
	return out
}

func (s *hookServer) authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

func allow() *admissionv1.AdmissionResponse { return &admissionv1.AdmissionResponse{Allowed: true} }

// patches allows and changes the object.
func patches(ops string) func(*admissionv1.AdmissionReview) any {
	return func(*admissionv1.AdmissionReview) any {
		return &admissionv1.AdmissionResponse{Allowed: true, Patch: []byte(ops), PatchType: new(admissionv1.PatchTypeJSONPatch)}
	}
}

// configuration is a webhook configuration with webhooks at paths of the server; more is put into each, rules are about config maps
// unless it has others.
func (s *hookServer) configuration(kind, name, more string, paths ...string) string {
	var hooks []map[string]any
	for i, p := range paths {
		h := map[string]any{
			"name": fmt.Sprintf("w%d.%s.x.io", i, name), "sideEffects": "None", "admissionReviewVersions": []string{"v1"},
			"clientConfig": map[string]any{"url": s.URL + p, "caBundle": s.authority()},
			"rules":        []any{map[string]any{"operations": []string{"*"}, "apiGroups": []string{""}, "apiVersions": []string{"v1"}, "resources": []string{"configmaps"}}},
		}
		if more != "" {
			if err := json.Unmarshal([]byte(more), &h); err != nil {
				panic(err)
			}
		}
		hooks = append(hooks, h)
	}
	out, err := json.Marshal(map[string]any{"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": map[string]any{"name": name}, "webhooks": hooks})
	if err != nil {
		panic(err)
	}
	return string(out)
}

func (s *hookServer) mutate(t *testing.T, h *Hub, name, more string, paths ...string) {
	t.Helper()
	expect(t, h, "201 POST "+mutatingPath, s.configuration("MutatingWebhookConfiguration", name, more, paths...))
}

func (s *hookServer) validate(t *testing.T, h *Hub, name, more string, paths ...string) {
	t.Helper()
	expect(t, h, "201 POST "+validatingPath, s.configuration("ValidatingWebhookConfiguration", name, more, paths...))
}

func configMap(name, data string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q},"data":{%s}}`, name, data)
}

// What a webhook is told of a write, and that what it changes is stored.
func TestMutatingWebhook(t *testing.T) {
	h, s := start(t, nil), newHookServer(t)
	s.on("/add", patches(`[{"op":"add","path":"/data/added","value":"yes"}]`))
	s.mutate(t, h, "m", "", "/add")
	a := expect(t, h, "201 POST "+configMaps+"?fieldManager=me", configMap("a", `"k":"v"`))
	if got := dig(a.object(t), "data.added"); got != "yes" {
		t.Errorf("stored without it: %s", a.body)
	}
	// Nobody becomes the manager of what a webhook adds.
	if managed := fmt.Sprint(dig(a.object(t), "metadata.managedFields")); !strings.Contains(managed, "f:k:") || strings.Contains(managed, "f:added") {
		t.Errorf("managed fields: %s", managed)
	}
	asked := s.asked(t, "/add")
	if len(asked) != 1 {
		t.Fatalf("asked %d times", len(asked))
	}
	r := asked[0]
	for path, want := range map[string]any{
		"kind.kind": "ConfigMap", "kind.version": "v1", "resource.resource": "configmaps", "requestKind.kind": "ConfigMap", "requestResource.resource": "configmaps",
		"name": "a", "namespace": "default", "operation": "CREATE", "userInfo.username": "admin", "object.kind": "ConfigMap", "object.apiVersion": "v1",
		"object.data.k": "v", "oldObject": nil, "dryRun": false, "options.kind": "CreateOptions", "options.apiVersion": "meta.k8s.io/v1", "options.fieldManager": "me",
	} {
		if got := dig(r, path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	expect(t, h, "200 PATCH "+configMaps+"/a", `{"data":{"k":"w"}}`, mergeIt)
	// A delete cannot be changed: that is an error of whoever tries.
	expect(t, h, "500 DELETE "+configMaps+"/a", "")
	asked = s.asked(t, "/add")
	if len(asked) != 2 {
		t.Fatalf("asked %d times", len(asked))
	}
	for i, w := range []map[string]any{
		{"operation": "UPDATE", "object.data.k": "w", "oldObject.data.k": "v", "oldObject.kind": "ConfigMap", "options.kind": "UpdateOptions"},
		{"operation": "DELETE", "object": nil, "oldObject.data.k": "w", "options.kind": "DeleteOptions", "name": "a"},
	} {
		for path, want := range w {
			if got := dig(asked[i], path); got != want {
				t.Errorf("%s is %v, want %v", path, got, want)
			}
		}
	}
	// A patch that does not apply is the webhook's mistake.
	expect(t, h, "500 POST "+configMaps, `{"metadata":{"name":"b"}}`)
}

// Mutators are asked in the order of their configurations' names, and see what those before them did; who wants to be is asked again
// when somebody after it has changed the object.
func TestReinvocation(t *testing.T) {
	h, s := start(t, nil), newHookServer(t)
	s.on("/first", func(r *admissionv1.AdmissionReview) any {
		if strings.Contains(string(r.Request.Object.Raw), `"second":"y"`) {
			return patches(`[{"op":"add","path":"/data/seen","value":"y"}]`)(r)
		}
		return patches(`[{"op":"add","path":"/data/first","value":"y"}]`)(r)
	})
	s.on("/second", patches(`[{"op":"add","path":"/data/second","value":"y"}]`))
	s.mutate(t, h, "b", "", "/second")
	s.mutate(t, h, "a", `{"reinvocationPolicy":"IfNeeded"}`, "/first")
	a := expect(t, h, "201 POST "+configMaps, configMap("a", `"k":"v"`))
	if got := fmt.Sprint(dig(a.object(t), "data")); got != "map[first:y k:v second:y seen:y]" {
		t.Errorf("data %s", got)
	}
	if n, m := len(s.asked(t, "/first")), len(s.asked(t, "/second")); n != 2 || m != 1 {
		t.Errorf("asked %d and %d times", n, m)
	}
}

// Answers of a validating webhook, and what becomes of the write.
func TestValidatingWebhook(t *testing.T) {
	h, s := start(t, nil), newHookServer(t)
	say := func(v any) func(*admissionv1.AdmissionReview) any {
		return func(*admissionv1.AdmissionReview) any { return v }
	}
	raw := func(f func(http.ResponseWriter, *http.Request)) func(*admissionv1.AdmissionReview) any { return say(f) }
	for i, c := range []struct {
		answer func(*admissionv1.AdmissionReview) any
		more   string
		code   int
		want   string // a part of the answer
	}{
		{say(allow()), "", 201, ""},
		{func(*admissionv1.AdmissionReview) any { return &admissionv1.AdmissionResponse{} }, "", 400, `"message":"admission webhook \"w0.v.x.io\" denied the request without explanation","code":400`},
		{say(json.RawMessage(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`)), "", 500, `received invalid webhook response: webhook response was absent`},
		{say(json.RawMessage(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"x","allowed":true}}`)), "", 500, `received invalid webhook response: expected response.uid=`},
		{patches(`[]`), "", 500, `validating webhook may not return response.patch`},
		{nil, "", 500, `{"message":"failed calling webhook \"w0.v.x.io\": failed to call webhook: the server could not find the requested resource"}`},
		{nil, `{"failurePolicy":"Ignore"}`, 201, ""},
		{raw(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", 503) }), "", 500, `failed to call webhook: the server is currently unable to handle the request`},
		{raw(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, s.URL+"/elsewhere", 302) }), "", 500, `failed to call webhook: the server responded with the status code 302`},
		{raw(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), `{"timeoutSeconds":1}`, 500, `?timeout=1s\": context deadline exceeded`},
		{func(*admissionv1.AdmissionReview) any { return &admissionv1.AdmissionResponse{} }, `{"matchConditions":[{"name":"a","expression":"object.metadata.name == 'other'"}]}`, 201, ""},
		{say(allow()), `{"matchConditions":[{"name":"a","expression":"object.nosuch == 'x'"}]}`, 403, `is forbidden: expression 'object.nosuch == 'x'' resulted in error: no such key: nosuch`},
		{nil, `{"failurePolicy":"Ignore","matchConditions":[{"name":"a","expression":"object.nosuch == 'x'"}]}`, 201, ""},
		{nil, `{"objectSelector":{"matchLabels":{"a":"b"}}}`, 201, ""},
		{nil, `{"namespaceSelector":{"matchLabels":{"a":"b"}}}`, 201, ""},
		{nil, `{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"default"}}}`, 500, ""},
		{nil, `{"rules":[{"operations":["CREATE"],"apiGroups":[""],"apiVersions":["v1"],"resources":["configmaps"],"scope":"Cluster"}]}`, 201, ""},
		{nil, `{"rules":[{"operations":["UPDATE"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]}]}`, 201, ""},
		{nil, `{"rules":[{"operations":["CREATE"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]}]}`, 500, ""},
	} {
		s.on("/v", c.answer)
		s.validate(t, h, "v", c.more, "/v")
		a := do(h, "POST", configMaps, configMap(fmt.Sprint("c", i), ""))
		if a.code != c.code || !strings.Contains(string(a.body), c.want) {
			t.Errorf("%d: %d %s\nwant %d %s", i, a.code, a.body, c.code, c.want)
		}
		expect(t, h, "200 DELETE "+validatingPath+"/v", "")
	}
	if n := len(s.asked(t, "/elsewhere")); n > 0 {
		t.Error("a redirection was followed")
	}
}

// What a webhook says besides yes: warnings reach the caller, its refusal has the code and reason that it gave.
func TestWhatWebhooksSay(t *testing.T) {
	h, s := start(t, nil), newHookServer(t)
	s.on("/a", func(*admissionv1.AdmissionReview) any {
		return &admissionv1.AdmissionResponse{Allowed: true, Warnings: []string{"one"}}
	})
	s.on("/b", func(*admissionv1.AdmissionReview) any {
		var r admissionv1.AdmissionResponse
		_ = json.Unmarshal([]byte(`{"warnings":["two"],"status":{"code":418,"reason":"Teapot","message":"I am one"}}`), &r)
		return &r
	})
	s.validate(t, h, "v", "", "/a", "/b")
	a := expect(t, h, "418 POST "+configMaps, configMap("a", ""))
	if got := a.header["Warning"]; len(got) != 2 || got[0] != `299 - "one"` || got[1] != `299 - "two"` {
		t.Errorf("warnings %q", got)
	}
	if st := a.status(t); st.Message != `admission webhook "w1.v.x.io" denied the request: I am one` || st.Reason != "Teapot" {
		t.Errorf("%+v", st)
	}
}

// A webhook with side effects is not asked about a dry run, which fails; one without is.
func TestDryRunAndWebhooks(t *testing.T) {
	h, s := start(t, nil), newHookServer(t)
	s.on("/v", func(r *admissionv1.AdmissionReview) any {
		if r.Request.DryRun == nil || !*r.Request.DryRun {
			return &admissionv1.AdmissionResponse{}
		}
		return allow()
	})
	s.validate(t, h, "v", `{"sideEffects":"NoneOnDryRun"}`, "/v")
	expect(t, h, "201 POST "+configMaps+"?dryRun=All", configMap("a", ""))
	expect(t, h, "400 POST "+configMaps, configMap("a", ""))
}

// A webhook that names another version of what is asked for is shown that version, and what it changes there is stored.
func TestEquivalentVersions(t *testing.T) {
	h, s := startGauges(t), newHookServer(t)
	s.on("/v2", patches(`[{"op":"replace","path":"/spec/reading","value":"9 bar"}]`))
	rules := func(version string) string {
		return `"rules":[{"operations":["CREATE"],"apiGroups":["test.sampan.dev"],"apiVersions":["` + version + `"],"resources":["gauges"]}]`
	}
	s.mutate(t, h, "m", `{`+rules("v2")+`}`, "/v2")
	s.mutate(t, h, "exact", `{"matchPolicy":"Exact",`+rules("v2")+`}`, "/exact")
	mustGauge(t, do(h, "POST", gaugesV1, gaugeJSON("v1", "a", `"level":7`)), 201, "spec.level", 9.0)
	asked := s.asked(t, "/v2")
	if len(asked) != 1 || len(s.asked(t, "/exact")) != 0 {
		t.Fatalf("asked %v", asked)
	}
	for path, want := range map[string]any{
		"kind.version": "v2", "resource.version": "v2", "requestKind.version": "v1", "requestResource.version": "v1", "object.apiVersion": "test.sampan.dev/v2", "object.spec.reading": "7 bar",
	} {
		if got := dig(asked[0], path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	// What cannot be converted is nobody's to decide about.
	a := do(h, "POST", gaugesV1, `{"apiVersion":"test.sampan.dev/v1","kind":"Gauge","metadata":{"name":"b","labels":{"stuck":""}},"spec":{"level":1}}`)
	if a.code != 500 || !strings.Contains(string(a.body), apitest.Stuck) {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// Subresources and streams are told with the objects that they take.
func TestWebhooksOfSubresources(t *testing.T) {
	to := &opens{}
	h, s := start(t, func(c *Config) { withoutAccounts(c); c.Connect = to }), newHookServer(t)
	s.on("/v", func(*admissionv1.AdmissionReview) any { return allow() })
	s.validate(t, h, "v", `{"rules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["deployments/scale","pods/exec","pods/binding","pods/status"]}]}`, "/v")
	expect(t, h, "201 POST /apis/apps/v1/namespaces/default/deployments", `{"metadata":{"name":"d"},"spec":{"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`)
	expect(t, h, "201 POST /api/v1/namespaces/default/pods", `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	for _, c := range []struct {
		line, body string
		want       map[string]any
	}{
		{"200 PATCH /apis/apps/v1/namespaces/default/deployments/d/scale", `{"spec":{"replicas":3}}`, map[string]any{"kind.kind": "Scale", "kind.group": "autoscaling", "resource.resource": "deployments",
			"subResource": "scale", "object.spec.replicas": 3.0, "oldObject.spec.replicas": 1.0, "operation": "UPDATE"}},
		{"201 POST /api/v1/namespaces/default/pods/p/binding", `{"metadata":{"name":"p"},"target":{"kind":"Node","name":"n"}}`, map[string]any{"kind.kind": "Binding", "operation": "CREATE", "object.target.name": "n", "name": "p"}},
		{"200 PATCH /api/v1/namespaces/default/pods/p/status", `{"status":{"phase":"Running"}}`, map[string]any{"kind.kind": "Pod", "subResource": "status", "object.status.phase": "Running"}},
		{"418 POST /api/v1/namespaces/default/pods/p/exec?command=sh&command=-c&stdin=true&container=c&tty=0", "", map[string]any{"kind.kind": "PodExecOptions", "operation": "CONNECT", "object.container": "c",
			"object.stdin": true, "object.tty": nil, "object.kind": "PodExecOptions", "object.apiVersion": "v1", "options": nil}},
	} {
		kind := mergeIt
		if strings.Contains(c.line, "POST") {
			kind = "Content-Type: application/json"
		}
		expect(t, h, c.line, c.body, kind)
		asked := s.asked(t, "/v")
		if len(asked) == 0 {
			t.Errorf("%s: nobody was asked", c.line)
			continue
		}
		last := asked[len(asked)-1] // an update that somebody else was faster than begins anew
		for path, want := range c.want {
			if got := dig(last, path); got != want {
				t.Errorf("%s: %s is %v, want %v", c.line, path, got, want)
			}
		}
	}
}

// Nobody is asked about the configuration of admission, or about who may do what.
func TestNobodyIsAskedAboutAdmission(t *testing.T) {
	h, s := start(t, nil), newHookServer(t)
	s.validate(t, h, "v", `{"rules":[{"operations":["*"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*/*"]}]}`, "/nobody")
	expect(t, h, "201 POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", `{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}`)
	expect(t, h, "500 POST "+configMaps, configMap("a", ""))
	s.mutate(t, h, "m", "", "/nobody")
	expect(t, h, "200 DELETE "+validatingPath, "")
	expect(t, h, "200 DELETE "+mutatingPath+"/m", "")
	expect(t, h, "201 POST "+configMaps, configMap("a", ""))
}

// A webhook behind a Service is reached at an endpoint of it, under the name that its certificate has.
func TestWebhookBehindAService(t *testing.T) {
	pair, err := pki.SelfSigned("s.dq.svc")
	if err != nil {
		t.Fatal(err)
	}
	s := &hookServer{}
	s.mu.answers, s.mu.asked = map[string]func(*admissionv1.AdmissionReview) any{}, map[string][]json.RawMessage{}
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = pki.ServerTLS(pair)
	s.StartTLS()
	defer s.Close()
	var dialled []string
	out := egress.New(egress.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
	}})
	h := start(t, func(c *Config) { c.Egress = out })
	cert, _, err := pair.PEM()
	if err != nil {
		t.Fatal(err)
	}
	more, err := json.Marshal(map[string]any{"clientConfig": map[string]any{"caBundle": cert, "service": map[string]any{"namespace": "dq", "name": "s", "path": "/v/"}}, "timeoutSeconds": 7})
	if err != nil {
		t.Fatal(err)
	}
	s.on("/v", func(*admissionv1.AdmissionReview) any { return allow() })
	s.validate(t, h, "v", string(more), "/ignored")
	const missing = `{"message":"failed calling webhook \"w0.v.x.io\": failed to call webhook: Post \"https://s.dq.svc:443/v?timeout=7s\": service \"s\" not found"}`
	for _, query := range []string{"", "?dryRun=All"} {
		a := expect(t, h, "500 POST "+configMaps+query, configMap("a", ""))
		if !strings.Contains(string(a.body), missing) || a.status(t).Reason != "InternalError" {
			t.Errorf("%s", a.body)
		}
	}
	expect(t, h, "201 POST /api/v1/namespaces", `{"metadata":{"name":"dq"}}`)
	expect(t, h, "201 POST /api/v1/namespaces/dq/services", `{"metadata":{"name":"s"},"spec":{"ports":[{"name":"https","port":443,"targetPort":8443}]}}`)
	if a := expect(t, h, "500 POST "+configMaps, configMap("a", "")); !strings.Contains(string(a.body), `no endpoints available for service \"s\"`) {
		t.Errorf("%s", a.body)
	}
	expect(t, h, "201 POST /apis/discovery.k8s.io/v1/namespaces/dq/endpointslices",
		`{"metadata":{"name":"s-1","labels":{"kubernetes.io/service-name":"s"}},"addressType":"IPv4","ports":[{"name":"https","port":8443}],"endpoints":[{"addresses":["192.0.2.7"]}]}`)
	for i := range 3 {
		expect(t, h, "201 POST "+configMaps, configMap(fmt.Sprint("a", i), ""))
	}
	if got := fmt.Sprint(dialled); got != "[192.0.2.7:8443]" {
		t.Errorf("dialled %s: one connection is enough", got)
	}
}

// A webhook on the hub's own port is not asked: it would be the hub that asks itself.
func TestNoWebhookOnTheHubsOwnPort(t *testing.T) {
	s := newHookServer(t)
	own := netip.MustParseAddrPort(s.Listener.Addr().String())
	h := start(t, func(c *Config) {
		c.Egress = egress.New(egress.Config{Own: func() []netip.AddrPort { return []netip.AddrPort{own} }})
	})
	s.validate(t, h, "v", "", "/v")
	if a := expect(t, h, "500 POST "+configMaps, configMap("a", "")); !strings.Contains(string(a.body), "address not allowed") {
		t.Errorf("%s", a.body)
	}
}

// Nothing that a webhook is told of while it is configured costs a write anything once it is gone.
func TestUnconfiguredAdmissionCostsNothing(t *testing.T) {
	h := start(t, nil)
	for _, get := range []func() (any, error){
		func() (any, error) { return h.outside.hooks.Mutating.Configured(t.Context()) },
		func() (any, error) { return h.outside.hooks.Validating.Configured(t.Context()) },
		func() (any, error) { return h.outside.policies.Mutating.Configured(t.Context()) },
		func() (any, error) { return h.outside.policies.Validating.Configured(t.Context()) },
	} {
		if v, err := get(); err != nil || v != false {
			t.Errorf("%v %v", v, err)
		}
		if n := testing.AllocsPerRun(100, func() { _, _ = get() }); n > 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
