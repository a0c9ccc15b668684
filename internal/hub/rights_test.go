package hub

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/verb"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// opens is a connector that counts what gets as far as it.
type opens struct{ n int }

func (o *opens) Connect(w http.ResponseWriter, _ *http.Request, _ *verb.Request, _ string) error {
	o.n++
	w.WriteHeader(http.StatusTeapot)
	return nil
}

// grant gives a user verbs on resources of the core group everywhere.
func grant(t *testing.T, h *Hub, user string, resources []string, verbs ...string) {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: []rbacv1.PolicyRule{{Verbs: verbs, APIGroups: []string{""}, Resources: resources}}}
	if _, err := client.Create(t.Context(), h.Own(), client.ClusterRoles, role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: user}},
	}
	if _, err := client.Create(t.Context(), h.Own(), client.ClusterRoleBindings, binding); err != nil {
		t.Fatal(err)
	}
}

// transports are the ways in which a stream may be asked for: method and headers.
var transports = []struct {
	method  string
	headers []string
}{
	{"GET", nil}, {"POST", nil}, {"HEAD", nil},
	{"GET", []string{"Connection: Upgrade", "Upgrade: websocket"}}, {"GET", []string{"Connection: upgrade", "Upgrade: WebSocket"}},
	{"GET", []string{"Connection: keep-alive, Upgrade", "Upgrade: websocket, SPDY/3.1"}},
	{"GET", []string{"Connection: Upgrade", "Upgrade: SPDY/3.1"}}, {"POST", []string{"Connection: Upgrade", "Upgrade: SPDY/3.1"}},
	{"POST", []string{"Connection: Upgrade", "Upgrade: websocket"}}, {"GET", []string{"Upgrade: h2c"}}, {"GET", []string{"Upgrade: nonsense"}},
	{"PUT", nil}, {"PATCH", nil}, {"DELETE", nil}, {"OPTIONS", nil},
}

// The right to read opens no stream that acts, on any transport; the right to create does on all that a client may use.
func TestStreamsThatActNeedCreate(t *testing.T) {
	to := &opens{}
	h := start(t, func(c *Config) { c.Connect = to })
	resources := []string{"pods/exec", "pods/attach", "pods/portforward", "pods/log", "nodes/proxy", "nodes/metrics", "pods/proxy", "services/proxy"}
	grant(t, h, "reader", resources, "get", "list", "watch", "update", "patch", "delete", "deletecollection")
	grant(t, h, "actor", resources, "get", "create")
	ask := func(user, method, path string, headers []string) int {
		return do(h, method, path, "", append([]string{"X-User: " + user}, headers...)...).code
	}
	until(t, func() bool { return ask("reader", "GET", "/api/v1/nodes/n/proxy/metrics", nil) == http.StatusTeapot })
	until(t, func() bool {
		return ask("actor", "POST", "/api/v1/namespaces/default/pods/p/exec", nil) == http.StatusTeapot
	})
	const pod = "/api/v1/namespaces/default/pods/p/"
	acting := []string{pod + "exec?command=sh&stdout=1", pod + "attach?stdout=1", pod + "portforward?ports=80"}
	for _, node := range []string{"n", "n:10250", "https:n:10250", "https:n:"} {
		for _, path := range []string{
			"exec/ns/p/c", "exec/ns/p/uid/c?command=sh", "attach/ns/p/c", "portForward/ns/p", "portForward/ns/p/uid", "run/ns/p/c?cmd=sh", "exec", "exec/", "cri/exec/x",
			"checkpoint/ns/p/c", "EXEC/ns/p/c", "portforward/ns/p", "/exec/ns/p/c", "./exec/ns/p/c", "pods/../exec/ns/p/c", "..//exec/ns/p/c", "%65xec/ns/p/c", "exec%2Fns%2Fp%2Fc", "pods%2F..%2Frun/ns/p/c",
		} {
			acting = append(acting, "/api/v1/nodes/"+node+"/proxy/"+path)
		}
	}
	for _, path := range acting {
		for _, c := range transports {
			before := to.n
			if got := ask("reader", c.method, path, c.headers); to.n != before || got < 400 {
				t.Errorf("who may only read: %s %s %v: %d", c.method, path, c.headers, got)
			}
		}
		for _, c := range []int{3, 6, 7} {
			if got := ask("actor", transports[c].method, path, transports[c].headers); got != http.StatusTeapot {
				t.Errorf("who may create: %s %s %v: %d", transports[c].method, path, transports[c].headers, got)
			}
		}
	}
	for _, path := range []string{pod + "log", pod + "proxy/exec", "/api/v1/nodes/n/proxy/pods", "/api/v1/nodes/n/proxy/metrics/cadvisor", "/api/v1/nodes/n/proxy/executive", "/api/v1/namespaces/default/services/s/proxy/exec/a"} {
		if got := ask("reader", "GET", path, nil); got != http.StatusTeapot {
			t.Errorf("what only tells: %s: %d", path, got)
		}
	}
	a := do(h, "GET", pod+"exec", "", "X-User: reader", "Connection: Upgrade", "Upgrade: SPDY/3.1")
	if want := `pods "p" is forbidden: User "reader" cannot create resource "pods/exec" in API group "" in the namespace "default"`; a.code != 403 || a.status(t).Message != want {
		t.Errorf("%d %s, want %s", a.code, a.body, want)
	}
}

// Who shows no credentials is a user like others: roles decide, and what they do not allow is forbidden rather than unauthorized.
func TestAnonymousIsAUser(t *testing.T) {
	h := start(t, func(c *Config) { c.ServerCAPEM = []byte("CERTIFICATES") })
	var who authn.Authenticator
	var err error
	if who, err = authn.New(authn.Config{}); err != nil {
		t.Fatal(err)
	}
	believe(h, who)
	open := []string{"/healthz", "/livez", "/readyz", "/version", "/version/", "/api/v1/namespaces/kube-public/configmaps/cluster-info"}
	for _, path := range open {
		if a := do(h, "GET", path, ""); a.code != 200 {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	if a := do(h, "GET", open[len(open)-1], ""); !strings.Contains(string(a.body), "certificate-authority-data") {
		t.Errorf("a joining node finds no authority in %s", a.body)
	}
	const info = "/api/v1/namespaces/kube-public/configmaps"
	for _, c := range []struct{ method, path, message string }{
		{"GET", "/", `forbidden: User "system:anonymous" cannot get path "/"`},
		{"GET", "/metrics", `forbidden: User "system:anonymous" cannot get path "/metrics"`},
		{"GET", "/api", `forbidden: User "system:anonymous" cannot get path "/api"`},
		{"GET", "/apis", `forbidden: User "system:anonymous" cannot get path "/apis"`},
		{"GET", "/openapi/v2", `forbidden: User "system:anonymous" cannot get path "/openapi/v2"`},
		{"GET", "/readyz/etcd", `forbidden: User "system:anonymous" cannot get path "/readyz/etcd"`},
		{"GET", "/healthz/", `forbidden: User "system:anonymous" cannot get path "/healthz/"`},
		{"GET", "/debug/pprof/", `forbidden: User "system:anonymous" cannot get path "/debug/pprof/"`},
		{"GET", "/nowhere", `forbidden: User "system:anonymous" cannot get path "/nowhere"`},
		{"POST", "/version", `forbidden: User "system:anonymous" cannot post path "/version"`},
		{"GET", "/api/v1/nodes", `nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope`},
		{"GET", info, `configmaps is forbidden: User "system:anonymous" cannot list resource "configmaps" in API group "" in the namespace "kube-public"`},
		{"DELETE", info + "/cluster-info", `configmaps "cluster-info" is forbidden: User "system:anonymous" cannot delete resource "configmaps" in API group "" in the namespace "kube-public"`},
		{"GET", "/apis/nothing.example.org/v1/things", `things.nothing.example.org is forbidden: User "system:anonymous" cannot list resource "things" in API group "nothing.example.org" at the cluster scope`},
	} {
		a := do(h, c.method, c.path, "")
		if a.code != 403 || a.status(t).Reason != metav1.StatusReasonForbidden || a.status(t).Message != c.message {
			t.Errorf("%s %s: %d %s, want 403 %s", c.method, c.path, a.code, a.body, c.message)
		}
	}
	if a := do(h, "GET", "/healthz", "", "Impersonate-User: admin"); a.code != 403 {
		t.Errorf("anonymous impersonates: %d %s", a.code, a.body)
	}
	// Bad credentials are not no credentials.
	if who, err = authn.New(authn.Config{Tokens: authn.NewTokens(authn.TokenConfig{Door: h.Own()})}); err != nil {
		t.Fatal(err)
	}
	believe(h, who)
	if a := do(h, "GET", "/healthz", "", "Authorization: Bearer nonsense"); a.code != 401 {
		t.Errorf("a bad token: %d %s", a.code, a.body)
	}
	if who, err = authn.New(authn.Config{Anonymous: authn.AnonymousAccess{Paths: []string{"/livez"}}}); err != nil {
		t.Fatal(err)
	}
	believe(h, who)
	for path, want := range map[string]int{"/livez": 200, "/readyz": 401, "/version": 401, open[len(open)-1]: 401, "/api": 401} {
		if a := do(h, "GET", path, ""); a.code != want {
			t.Errorf("under conditions, %s: %d, want %d", path, a.code, want)
		}
	}
}

func until(t *testing.T, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never happened")
		}
	}
}
