package rest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Every path has one meaning, and no part of it is read as two.
func FuzzRoute(f *testing.F) {
	for _, s := range []string{"/api/v1/pods", "/apis/apps/v1/namespaces/a/deployments/b/scale", "/api/v1/watch/pods", "/api/v1/proxy/nodes/x/y", "/api/v1/namespaces/a/finalize", "//", "/api", "/apis/a/b/c/d/e/f/g", "/api/v1/namespaces"} {
		f.Add("GET", s)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			t.Skip()
		}
		rt, err := parseRoute(&http.Request{Method: method, URL: u, Header: http.Header{}})
		if err != nil {
			return
		}
		for _, part := range []string{rt.Group, rt.Version, rt.Namespace} {
			if strings.Contains(part, "/") || part != "" && !strings.Contains(u.Path, part) {
				t.Errorf("%q: %+v", path, rt)
			}
		}
	})
}
