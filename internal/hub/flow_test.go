package hub

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/flow"
)

// doorkeeper lets the user "slow" wait until it is closed.
type doorkeeper struct{ came, open chan struct{} }

func (d doorkeeper) Authorize(_ context.Context, a authz.Attributes) (authz.Decision, string, error) {
	if a.User.Name == "slow" {
		d.came <- struct{}{}
		<-d.open
	}
	return authz.Allow, "", nil
}

// byGroup believes X-User and X-Group.
type byGroup struct{}

func (byGroup) Authenticate(r *http.Request) (api.User, bool, error) {
	return api.User{Name: r.Header.Get("X-User"), Groups: []string{r.Header.Get("X-Group"), api.GroupAuthenticated}}, true, nil
}

// While as many requests are under way as may be, the rest is refused as upstream does it, but for who must be heard.
func TestTooManyRequests(t *testing.T) {
	d := doorkeeper{make(chan struct{}), make(chan struct{})}
	h := start(t, func(c *Config) { bare(c); c.Authorizer, c.MaxReads, c.MaxWrites, c.NoFairness = d, 3, 2, true })
	believe(h, byGroup{})
	ended := make(chan answer)
	for i := range 5 {
		method, body := "GET", ""
		if i > 2 {
			method, body = "POST", `{"metadata":{"generateName":"c"}}`
		}
		go func() { ended <- do(h, method, cms, body, "X-User: slow") }()
	}
	for range 5 {
		<-d.came
	}
	const (
		leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
		node   = "X-Group: system:nodes"
		sa     = "X-Group: system:serviceaccounts:kube-system"
	)
	for _, row := range []struct {
		who, method, path string
		headers           []string
		refused           bool
	}{
		{"anybody reads", "GET", cms, nil, true},
		{"anybody reads one", "GET", cms + "/none", nil, true},
		{"anybody writes", "DELETE", cms + "/none", nil, true},
		{"anybody reviews", "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", nil, true},
		{"anybody discovers", "GET", "/api/v1", nil, true},
		{"anybody measures", "GET", "/metrics", nil, true},
		{"anybody renews a lease", "DELETE", leases + "/n", nil, true},
		{"an administrator reads", "GET", cms, []string{"X-Group: system:masters"}, false},
		{"an administrator writes", "DELETE", cms + "/none", []string{"X-Group: system:masters"}, false},
		{"a load balancer", "GET", "/readyz", nil, false},
		{"a probe", "GET", "/livez/ping", nil, false},
		{"a probe of old", "GET", "/healthz", nil, false},
		{"a stream", "GET", "/api/v1/namespaces/default/pods/p/log", nil, false},
		{"a profile", "GET", "/debug/pprof/cmdline", nil, false},
		{"a node's lease", "GET", leases + "/n", []string{node}, false},
		{"a node renews", "DELETE", leases + "/n", []string{node}, false},
		{"a node's status", "GET", "/api/v1/nodes/n/status", []string{node}, false},
		{"a pod's status", "GET", "/api/v1/namespaces/default/pods/p/status", []string{node}, false},
		{"a node lists", "GET", "/api/v1/pods", []string{node}, true},
		{"a node writes", "DELETE", "/api/v1/namespaces/default/pods/p", []string{node}, true},
		{"a leader renews", "DELETE", strings.Replace(leases, "kube-node-lease", "kube-system", 1) + "/l", []string{"X-User: system:kube-scheduler"}, false},
		{"a leader with an account", "DELETE", leases + "/l", []string{sa}, false},
		{"an account reads", "GET", "/api/v1/pods", []string{sa}, true},
	} {
		a := do(h, row.method, row.path, "", row.headers...)
		if (a.code == 429) != row.refused {
			t.Errorf("%s: %d %s", row.who, a.code, a.body)
		}
		if row.refused && (a.header.Get("Retry-After") != "1" || string(a.body) != "Too many requests, please try again later.\n") {
			t.Errorf("%s: %v %q", row.who, a.header, a.body)
		}
	}
	watching, stop := context.WithCancel(t.Context())
	stop()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", cms+"?watch=1", nil).WithContext(watching))
	if w.Code == 429 {
		t.Error("a watch is refused")
	}
	close(d.open)
	for range 5 {
		if a := <-ended; a.code >= 300 {
			t.Errorf("%d %s", a.code, a.body)
		}
	}
	if a := do(h, "GET", cms, ""); a.code != 200 {
		t.Errorf("afterwards: %d", a.code)
	}
	if h.gate.Reads.Under()+h.gate.Writes.Under()+h.gate.Long.Load() != 0 {
		t.Error("requests are still counted")
	}
}

// unread is a body that must not be looked at.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read before there was memory for it")
	return 0, io.EOF
}

// A body that there is no memory for is refused before it is read, one of unknown length as soon as it is too long.
func TestNoMemoryForBodies(t *testing.T) {
	h := start(t, func(c *Config) { bare(c); c.Authorizer, c.Memory = allowAll{}, 1 })
	object := func(n int) string {
		return fmt.Sprintf(`{"metadata":{"generateName":"c"},"data":{"k":%q}}`, strings.Repeat("x", n))
	}
	types := map[string]string{"POST": "application/json", "PUT": "application/json", "PATCH": "application/merge-patch+json", "DELETE": "application/json"}
	for method, media := range types {
		path := cms
		if method != "POST" {
			path += "/c"
		}
		for _, row := range []struct {
			what    string
			body    io.Reader
			length  int64
			headers string
			refused bool
		}{
			{"a megabyte", unread{t}, 1 << 20, "", true},
			{"a megabyte of an administrator", unread{t}, 1 << 20, "system:masters", true},
			{"a megabyte of a node", unread{t}, 1 << 20, "system:nodes", true},
			{"little", strings.NewReader(object(100)), -1, "", false},
			{"much of unknown length", strings.NewReader(object(100_000)), -1, "", true},
		} {
			r := httptest.NewRequest(method, path, row.body)
			r.ContentLength = row.length
			r.Header.Set("Content-Type", media)
			r.Header.Set("X-User", "u")
			w := httptest.NewRecorder()
			believe(h, byGroup{})
			r.Header.Set("X-Group", row.headers)
			h.ServeHTTP(w, r)
			if (w.Code == 429) != row.refused || row.refused && w.Header().Get("Retry-After") != "1" {
				t.Errorf("%s, %s: %d %s", method, row.what, w.Code, w.Body)
			}
		}
	}
	r := httptest.NewRequest("PATCH", "/api/v1/nodes/n/status", strings.NewReader(`{"status":{"images":[`+strings.Repeat(`{"names":["x"]},`, 2000)+`{"names":["y"]}]}}`))
	r.Header.Set("Content-Type", "application/merge-patch+json")
	r.Header.Set("X-Group", "system:nodes")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 404 {
		t.Errorf("the status of a node: %d %s", w.Code, w.Body)
	}
	if n := h.memory.Bodies.Held(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

func memoryOf(free func() int64) *flow.Memory {
	return &flow.Memory{Bodies: flow.NewBudget(free), Answers: flow.NewBudget(free)}
}

// A large answer that there is no memory for is refused in every form; a small one is not.
func TestNoMemoryForAnswers(t *testing.T) {
	var full bool
	h := start(t, func(c *Config) { bare(c); c.Authorizer = allowAll{} })
	*h.memory = *memoryOf(func() int64 {
		if full {
			return 0
		}
		return 1 << 40
	})
	for i := range 10 {
		if a := do(h, "POST", cms, fmt.Sprintf(`{"metadata":{"name":"c%d"},"data":{"k":%q}}`, i, strings.Repeat("x", 20_000))); a.code != 201 {
			t.Fatal(a.code, string(a.body))
		}
	}
	full = true
	for _, accept := range []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf",
		"application/json;as=Table;g=meta.k8s.io;v=v1", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"} {
		if a := do(h, "GET", cms, "", "Accept: "+accept); a.code != 429 || a.header.Get("Retry-After") != "1" {
			t.Errorf("%s: %d", accept, a.code)
		}
		if a := do(h, "GET", cms+"?limit=1", "", "Accept: "+accept); a.code != 200 {
			t.Errorf("%s, one: %d", accept, a.code)
		}
	}
	full = false
	if a := do(h, "GET", cms, ""); a.code != 200 || h.memory.Answers.Held() != 0 {
		t.Errorf("afterwards: %d, %d bytes held", a.code, h.memory.Answers.Held())
	}
}
