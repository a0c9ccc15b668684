package face

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sampan.dev/internal/client/delegate"
)

// TestFace asks the port as somebody without credentials: the health paths are everybody's, in upstream's form, the rest is not.
func TestFace(t *testing.T) {
	s := &Server{
		Config:  Config{AlwaysAllow: []string{"/healthz", "/readyz", "/livez"}},
		Name:    "kube-test",
		Checks:  map[string]func() error{"ping": func() error { return nil }},
		Configz: func() (string, any) { return "test.config", map[string]int{"a": 1} },
		Flags:   func() map[string]string { return map[string]string{"v": "2"} },
	}
	broken := *s
	broken.Checks = map[string]func() error{"ping": s.Checks["ping"], "leader": func() error { return errors.New("lost") }}
	open := *s
	open.AlwaysAllow = []string{"/metrics", "/configz", "/flagz", "/statusz", "/healthz/ping", "/healthz/none", "/nowhere"}
	open.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("own_metric 1\n")) })
	for _, c := range []struct {
		name   string
		of     *Server
		method string
		path   string
		code   int
		want   string // the whole body, or what it has in it after "…"
	}{
		{"well", s, "GET", "/healthz", 200, "ok"},
		{"well, told", s, "GET", "/readyz?verbose", 200, "[+]ping ok\nreadyz check passed\n"},
		{"not well", &broken, "GET", "/livez", 500, "[-]leader failed: lost\n[+]ping ok\nlivez check failed\n"},
		{"one check", &open, "GET", "/healthz/ping", 200, "ok"},
		{"no such check", &open, "GET", "/healthz/none", 404, "404 page not found\n"},
		{"one check is not everybody's", s, "GET", "/healthz/ping", 401, "Unauthorized\n"},
		{"metrics are not everybody's", s, "GET", "/metrics", 401, "Unauthorized\n"},
		{"the configuration is not everybody's", s, "GET", "/configz", 401, "Unauthorized\n"},
		{"what is not there tells no more", s, "GET", "/nowhere", 401, "Unauthorized\n"},
		{"nothing there", &open, "GET", "/nowhere", 404, "404 page not found\n"},
		{"metrics", &open, "GET", "/metrics", 200, "…kubernetes_build_info{component=\"kube-test\","},
		{"own metrics", &open, "GET", "/metrics", 200, "…own_metric 1\n"},
		{"configuration", &open, "GET", "/configz", 200, "{\"test.config\":{\"a\":1}}\n"},
		{"flags", &open, "GET", "/flagz", 200, "…\nkube-test flagz\n"},
		{"status", &open, "GET", "/statusz", 200, "…Paths: /configz /flagz /healthz "},
		{"features", &open, "GET", "/metrics", 200, "…kubernetes_feature_enabled{name=\"ManifestBasedAdmissionControlConfig\",stage=\"BETA\"} 1\n"},
		{"no writes", &open, "POST", "/configz", 405, "Method Not Allowed\n"},
	} {
		w := httptest.NewRecorder()
		gate := &delegate.Gate{Roots: x509.NewCertPool()}
		c.of.handler(gate).ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		part, partly := strings.CutPrefix(c.want, "…")
		if got := w.Body.String(); w.Code != c.code || !partly && got != c.want || partly && !strings.Contains(got, part) {
			t.Errorf("%s: %d %q, want %d %q", c.name, w.Code, got, c.code, c.want)
		}
	}
}

// A component that is told to serve no port runs until it is ended all the same.
func TestNoPort(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	end()
	if err := (&Server{}).Run(ctx); err != nil {
		t.Error(err)
	}
}
