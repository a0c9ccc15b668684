package hub

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/health"
	"sampan.dev/internal/hub/rest"
	"sampan.dev/internal/hub/verb"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// curious remembers the questions and grants impersonation of everybody but root.
type curious struct {
	mu   sync.Mutex
	seen []authz.Attributes
}

func (a *curious) Authorize(_ context.Context, q authz.Attributes) (authz.Decision, string, error) {
	a.mu.Lock()
	a.seen = append(a.seen, q)
	a.mu.Unlock()
	if strings.HasPrefix(q.Verb, "impersonate") && q.Name == "root" {
		return authz.Deny, "never", nil
	}
	return authz.Allow, "", nil
}

// bare leaves out what reads and writes by itself.
func bare(c *Config) { c.NoAdmission, c.Bootstrap, c.ServiceCIDR = true, false, netip.Prefix{} }

func TestImpersonation(t *testing.T) {
	z := &curious{}
	h := start(t, func(c *Config) { bare(c); c.Authorizer = z })
	whoami := func(headers ...string) map[string]any {
		t.Helper()
		a := do(h, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", `{}`, headers...)
		if a.code != 201 {
			t.Fatalf("%d %s", a.code, a.body)
		}
		return dig(a.object(t), "status.userInfo").(map[string]any)
	}
	z.mu.Lock()
	z.seen = nil
	z.mu.Unlock()
	u := whoami("X-User: jane", "Impersonate-User: system:serviceaccount:ns:sa", "Impersonate-Extra-Scopes%2fx: view", "Impersonate-Uid: 7")
	groups, _ := json.Marshal(u["groups"])
	if u["username"] != "system:serviceaccount:ns:sa" || u["uid"] != "7" || string(groups) != `["system:serviceaccounts","system:serviceaccounts:ns","system:authenticated"]` {
		t.Errorf("%v", u)
	}
	var questions []string
	z.mu.Lock()
	seen := slices.Clone(z.seen)
	z.mu.Unlock()
	for _, q := range seen {
		questions = append(questions, strings.Join([]string{q.User.Name, q.Verb, q.Resource, q.Subresource, q.Namespace, q.Name}, " "))
	}
	for _, want := range []string{"jane impersonate serviceaccounts  ns sa", "jane impersonate userextras scopes/x  view", "jane impersonate uids   7"} {
		if !slices.Contains(questions, want) {
			t.Errorf("%q was not asked: %q", want, questions)
		}
	}
	if a := do(h, "GET", "/version", "", "Impersonate-User: root"); a.code != 403 || !strings.HasSuffix(a.status(t).Message, "at the cluster scope: never") {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := do(h, "GET", "/version", "", "Impersonate-Group: g"); a.code != 400 || !strings.HasSuffix(a.status(t).Message, "without impersonating a user name") {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestAudit(t *testing.T) {
	var out bytes.Buffer
	h := start(t, func(c *Config) {
		bare(c)
		c.Audit, c.Authorizer = &audit.Log{Policy: audit.Everything(audit.Metadata), Sink: audit.NewLines(&out)}, allowAll{}
	})
	out.Reset()
	a := do(h, "GET", cms+"/none", "", "Audit-ID: mine", "User-Agent: kubectl/v1")
	if a.header.Get("Audit-Id") != "mine" {
		t.Errorf("%v", a.header)
	}
	var e map[string]any
	if err := json.Unmarshal(out.Bytes(), &e); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	for path, want := range map[string]any{
		"auditID": "mine", "verb": "get", "user.username": "admin", "userAgent": "kubectl/v1", "objectRef.resource": "configmaps",
		"objectRef.name": "none", "responseStatus.code": 404.0, "requestURI": cms + "/none", "level": "Metadata",
	} {
		if got := dig(e, path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	out.Reset()
	if do(h, "GET", "/readyz", ""); out.Len() > 0 {
		t.Errorf("health checks are audited: %s", out.String())
	}
	// The doors in process are audited too.
	h.Door(api.User{Name: "inside"}, "x/1").Get(t.Context(), refTo("none"), getOptions) //nolint:errcheck // the audit is what matters
	if !strings.Contains(out.String(), `"username":"inside"`) {
		t.Errorf("%s", out.String())
	}
}

func TestDiscoveryETag(t *testing.T) {
	h := start(t, nil)
	const accept = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
	a := do(h, "GET", "/apis", "", accept)
	if ct := a.header.Get("Content-Type"); a.code != 200 || ct != "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" {
		t.Fatalf("%d %s", a.code, ct)
	}
	if b := do(h, "GET", "/apis", "", accept, "If-None-Match: "+a.header.Get("ETag")); b.code != http.StatusNotModified || len(b.body) > 0 {
		t.Errorf("%d %s", b.code, b.body)
	}
	if o := do(h, "GET", "/apis", "").object(t); o["kind"] != "APIGroupList" {
		t.Errorf("%v", o)
	}
	if o := do(h, "GET", "/apis/apps", "").object(t); o["kind"] != "APIGroup" || dig(o, "preferredVersion.version") != "v1" {
		t.Errorf("%v", o)
	}
	if o := do(h, "GET", "/api/v1", "").object(t); o["kind"] != "APIResourceList" {
		t.Errorf("%v", o)
	}
}

func TestHealth(t *testing.T) {
	bad := health.NewMark(nil)
	h := start(t, func(c *Config) { c.Checks = []Check{{Name: "extra", Check: bad.Check}} })
	if a := do(h, "GET", "/livez/extra", ""); a.code != 200 || string(a.body) != "ok" {
		t.Errorf("%d %s", a.code, a.body)
	}
	bad.Fail(context.DeadlineExceeded)
	a := do(h, "GET", "/readyz", "")
	if a.code != 500 || !strings.Contains(string(a.body), "[-]extra failed: reason withheld\n") || !strings.HasSuffix(string(a.body), "readyz check failed\n") {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := do(h, "GET", "/readyz?exclude=extra&exclude=nothing&verbose", ""); a.code != 200 ||
		!strings.Contains(string(a.body), "[+]extra excluded: ok\n") || !strings.Contains(string(a.body), `no matches for "nothing"`) {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a := do(h, "GET", "/readyz/extra", ""); a.code != 500 || !strings.Contains(string(a.body), "internal server error: context deadline exceeded") {
		t.Errorf("%d %s", a.code, a.body)
	}
}

func TestMetrics(t *testing.T) {
	h := start(t, nil)
	do(h, "GET", "/api/v1/nodes", "")
	do(h, "GET", "/api/v1/nonsense", "")
	text := string(do(h, "GET", "/metrics", "").body)
	for _, want := range []string{
		`apiserver_request_total{code="200",component="apiserver",dry_run="",group="",resource="nodes",scope="cluster",subresource="",verb="LIST",version="v1"} 1`,
		`apiserver_storage_objects{resource="namespaces"} 4`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "nonsense") {
		t.Error("what clients make up becomes a label")
	}
}

// panics is a connector that breaks.
type panics struct{}

func (panics) Connect(http.ResponseWriter, *http.Request, *verb.Request, string) error { panic("boom") }

type refuses struct{}

func (refuses) Connect(_ http.ResponseWriter, _ *http.Request, req *verb.Request, path string) error {
	return apierrors.NewBadRequest(req.Ref.Namespace + "/" + req.Ref.Name + " " + req.Ref.Subresource + " " + path)
}

// swapped is a connector that a test replaces while its hub runs.
type swapped struct{ rest.Connector }

func TestConnect(t *testing.T) {
	var now swapped
	h := start(t, func(c *Config) { c.Connect = &now })
	now.Connector = panics{}
	if a := do(h, "GET", "/api/v1/namespaces/default/pods/p/log", ""); a.code != 500 || a.status(t).Reason != "InternalError" {
		t.Errorf("%d %s", a.code, a.body)
	}
	now.Connector = refuses{}
	for path, want := range map[string]string{
		"/api/v1/namespaces/default/pods/p/log":               "default/p log ",
		"/api/v1/namespaces/default/services/s/proxy/a/b":     "default/s proxy /a/b",
		"/api/v1/namespaces/default/services/https:s:1/proxy": "default/https:s:1 proxy ",
		"/api/v1/nodes/n:10250/proxy/pods/":                   "/n:10250 proxy /pods/",
	} {
		if a := do(h, "GET", path, ""); a.status(t).Message != want {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	// A proxy hands OPTIONS on too, which other streams and resources do not take.
	for path, code := range map[string]int{
		"services/s/proxy/a": 400, "pods/p/proxy": 400, "pods/p/log": 405, "pods/p/exec": 405, "pods/p": 405, "pods": 405,
	} {
		if a := do(h, "OPTIONS", "/api/v1/namespaces/default/"+path, ""); a.code != code {
			t.Errorf("OPTIONS %s: %d %s", path, a.code, a.body)
		}
	}
	if a := do(h, "TRACE", "/api/v1/namespaces/default/pods/p/proxy/x", ""); a.code != 405 {
		t.Errorf("TRACE: %d %s", a.code, a.body)
	}
	if a := do(h, "GET", "/api/v1/namespaces/default/pods/p/log/x", ""); a.code != 404 {
		t.Errorf("%d %s", a.code, a.body)
	}
}
