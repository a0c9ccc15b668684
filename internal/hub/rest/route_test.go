package rest

import (
	"net/http/httptest"
	"testing"
)

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		method, url string
		want        route
	}{
		{"GET", "/api/v1/pods", route{Resource: true, Verb: "list", Version: "v1", Plural: "pods", Selectors: true}},
		{"GET", "/api/v1/pods?watch=1", route{Resource: true, Verb: "watch", Version: "v1", Plural: "pods", Selectors: true}},
		{"GET", "/api/v1/pods?watch", route{Resource: true, Verb: "watch", Version: "v1", Plural: "pods", Selectors: true}},
		{"GET", "/api/v1/pods?watch=0", route{Resource: true, Verb: "list", Version: "v1", Plural: "pods", Selectors: true}},
		{"GET", "/api/v1/namespaces/ns/pods?fieldSelector=metadata.name%3Dp", route{Resource: true, Verb: "list", Version: "v1", Plural: "pods", Namespace: "ns", Name: "p", Selectors: true}},
		{"DELETE", "/api/v1/namespaces/ns/pods", route{Resource: true, Verb: "deletecollection", Version: "v1", Plural: "pods", Namespace: "ns", Selectors: true}},
		{"DELETE", "/api/v1/namespaces/ns/pods/p", route{Resource: true, Verb: "delete", Version: "v1", Plural: "pods", Namespace: "ns", Name: "p", NameInPath: true}},
		{"GET", "/api/v1/namespaces/ns", route{Resource: true, Verb: "get", Version: "v1", Plural: "namespaces", Namespace: "ns", Name: "ns", NameInPath: true}},
		{"PUT", "/api/v1/namespaces/ns/finalize", route{Resource: true, Verb: "update", Version: "v1", Plural: "namespaces", Namespace: "ns", Name: "ns", Subresource: "finalize", NameInPath: true}},
		{"PATCH", "/apis/apps/v1/namespaces/ns/deployments/d/status", route{Resource: true, Verb: "patch", Group: "apps", Version: "v1", Plural: "deployments", Namespace: "ns", Name: "d", Subresource: "status", NameInPath: true}},
		{"POST", "/api/v1/namespaces/ns/pods/p/exec", route{Resource: true, Verb: "create", Version: "v1", Plural: "pods", Namespace: "ns", Name: "p", Subresource: "exec", NameInPath: true}},
		{"GET", "/api/v1/nodes/n/proxy/a/b/", route{Resource: true, Verb: "get", Version: "v1", Plural: "nodes", Name: "n", Subresource: "proxy", Rest: "/a/b/", NameInPath: true}},
		{"GET", "/api/v1/watch/namespaces/ns/pods", route{Resource: true, Verb: "watch", Version: "v1", Plural: "pods", Namespace: "ns", PathVerb: true}},
		{"GET", "/api/v1/watch/nodes/n", route{Resource: true, Verb: "watch", Version: "v1", Plural: "nodes", Name: "n", PathVerb: true, NameInPath: true}},
		{"GET", "/apis/apps/v1", route{Verb: "get"}},
		{"GET", "/api/v1", route{Verb: "get"}},
		{"POST", "/version", route{Verb: "post"}},
		{"GET", "/", route{Verb: "get"}},
	} {
		r := httptest.NewRequest(c.method, c.url, nil)
		got, err := parseRoute(r)
		c.want.Path = r.URL.Path
		if err != nil || got != c.want {
			t.Errorf("%s %s\n got %+v %v\nwant %+v", c.method, c.url, got, err, c.want)
		}
	}
	if _, err := parseRoute(httptest.NewRequest("GET", "/api/v1/watch", nil)); err == nil {
		t.Error("a watch of nothing was taken")
	}
}
