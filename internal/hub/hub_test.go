package hub

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/store/memory"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// byHeader believes the X-User header; "bad" is a credential that does not hold.
type byHeader struct{}

func (byHeader) Authenticate(r *http.Request) (api.User, bool, error) {
	if r.Header.Get("Authorization") != "" {
		return api.User{}, false, io.ErrUnexpectedEOF
	}
	name := r.Header.Get("X-User")
	switch name {
	case "":
		return api.User{Name: "admin", Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, true, nil
	case "nobody":
		return api.User{}, false, nil
	}
	return api.User{Name: name, Groups: []string{api.GroupAuthenticated}}, true, nil
}

// believed is an authenticator that a test may replace while its hub runs: see believe.
type believed struct{ authn.Authenticator }

// believe has a hub that start made find out in another way who asks.
func believe(h *Hub, a authn.Authenticator) { h.cfg.Authenticator.(*believed).Authenticator = a }

type allowAll struct{}

func (allowAll) Authorize(context.Context, authz.Attributes) (authz.Decision, string, error) {
	return authz.Allow, "", nil
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start runs a whole hub on the memory store until the test ends.
func start(t testing.TB, change func(*Config)) *Hub {
	t.Helper()
	cfg := Config{
		Kinds: all.Kinds(), Store: memory.New(), Log: quiet(), Bootstrap: true, DNS: true,
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
	}
	cfg.Authenticator = &believed{byHeader{}}
	if change != nil {
		change(&cfg)
	}
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && err != context.Canceled {
			t.Errorf("run: %v", err)
		}
		cfg.Store.Close()
	})
	select {
	case <-h.Ready():
	case err := <-done:
		t.Fatalf("ended: %v", err)
	}
	settle(ctx, h)
	return h
}

// settle waits until the hub has told the flow schemas that it made that their levels are there. It does so once, just after it is
// ready, and tests count revisions. A hub that cannot write is left alone.
func settle(ctx context.Context, h *Hub) {
	if h.cfg.Kinds.Resource(client.FlowSchemas) == nil {
		return
	}
	for range 2000 {
		all, err := client.ListAll[*flowcontrolv1.FlowSchema](ctx, h.own, client.FlowSchemas, "", metav1.ListOptions{})
		if err != nil || !slices.ContainsFunc(all, func(s *flowcontrolv1.FlowSchema) bool { return len(s.Status.Conditions) == 0 }) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// answer is what came back.
type answer struct {
	code   int
	header http.Header
	body   []byte
}

func (a answer) object(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("%d %s: %v", a.code, a.body, err)
	}
	return m
}

func (a answer) status(t *testing.T) metav1.Status {
	t.Helper()
	var s metav1.Status
	if err := json.Unmarshal(a.body, &s); err != nil {
		t.Fatalf("%d %s: %v", a.code, a.body, err)
	}
	return s
}

// dig follows keys into nested maps.
func dig(m map[string]any, path string) any {
	var v any = m
	for key := range strings.SplitSeq(path, ".") {
		inner, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = inner[key]
	}
	return v
}

// do makes one request; headers are "Key: value" lines.
func do(h http.Handler, method, path, body string, headers ...string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body == "" {
		r = httptest.NewRequest(method, path, nil)
	}
	for _, line := range headers {
		k, v, _ := strings.Cut(line, ": ")
		r.Header.Add(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.Bytes()}
}

func TestBootstraps(t *testing.T) {
	h := start(t, nil)
	for _, path := range []string{"/api/v1/namespaces/kube-system", "/api/v1/namespaces/default/services/kubernetes",
		"/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin", "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical"} {
		if a := do(h, "GET", path, ""); a.code != 200 {
			t.Errorf("%s: %d %s", path, a.code, a.body)
		}
	}
	if a := do(h, "GET", "/readyz?verbose", ""); a.code != 200 || !strings.HasSuffix(string(a.body), "readyz check passed\n") {
		t.Errorf("readyz: %d %s", a.code, a.body)
	}
}

func refTo(name string) client.Ref {
	return client.Ref{Resource: client.ConfigMaps, Namespace: "default", Name: name}
}

var getOptions metav1.GetOptions
