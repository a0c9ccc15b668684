package hub

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// odd are requests that a client can make up without end: each place where it writes something, with something different.
func odd(i int) (method, path, body string, headers []string) {
	x := fmt.Sprintf("x%d", i)
	headers = []string{"User-Agent: " + x + "/1", "X-Request-Id: " + x}
	method = "GET"
	switch i % 16 {
	case 0:
		path = "/api/v1/namespaces/default/pods/p/" + x // subresource
	case 1:
		path = "/api/v1/" + x // resource
	case 2:
		path = "/apis/" + x + "/v1/pods" // group
	case 3:
		path = "/api/" + x + "/pods" // version
	case 4:
		method, path = "X"+strings.ToUpper(x), "/api/v1/pods" // verb
	case 5:
		path = "/" + x // path
	case 6:
		path = "/api/v1/watch/namespaces/default/" + x
	case 7:
		path = "/api/v1/proxy/namespaces/default/pods/" + x
	case 8:
		method, path, body = "POST", "/api/v1/namespaces/default/pods?dryRun="+x, "{}"
	case 9:
		method, path, body = "POST", "/api/v1/namespaces/default/pods", x
		headers = append(headers, "Content-Type: application/"+x)
	case 10:
		path = "/api/v1/nodes/" + x + "/status"
	case 11:
		path = "/api/v1/namespaces/" + x + "/pods"
		headers = append(headers, "Accept: application/"+x)
	case 12:
		path = "/healthz/" + x
	case 13:
		method, path = "M"+x, "/healthz"
	case 14:
		path = "/apis/apps/v1/namespaces/default/deployments/d/scale/" + x
	case 15:
		method, path = "POST", "/api/v1/namespaces/"+x+"/pods/p/exec/"+x
	}
	return method, path, body, headers
}

func series(t *testing.T, h http.Handler) []string {
	t.Helper()
	a := do(h, "GET", "/metrics", "")
	var out []string
	for s := bufio.NewScanner(bytes.NewReader(a.body)); s.Scan(); {
		if line := s.Text(); !strings.HasPrefix(line, "#") {
			out = append(out, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	return out
}

func TestWhatClientsWriteIsNoLabel(t *testing.T) {
	for _, who := range []string{"admin", "jane", "nobody"} {
		t.Run(who, func(t *testing.T) {
			h := start(t, nil)
			send := func(from, to int) {
				for i := from; i < to; i++ {
					method, path, body, headers := odd(i)
					if who != "admin" {
						headers = append(headers, "X-User: "+who)
					}
					do(h, method, path, body, headers...)
				}
			}
			series(t, h) // its own
			send(0, 16)
			before := series(t, h)
			send(16, 2016)
			after := series(t, h)
			for _, s := range after {
				if !slices.Contains(before, s) {
					t.Errorf("new after odd requests: %s", s)
					break
				}
			}
			if who == "nobody" && slices.ContainsFunc(after, func(s string) bool { return strings.Contains(s, `code="401"`) }) {
				t.Error("requests without credentials are counted") // by what they name, of which there is much
			}
		})
	}
}

// Every value of every label of a request is one of a list that does not depend on requests.
func TestLabelsAreOfWhatIsServed(t *testing.T) {
	h := start(t, nil)
	for i := range 200 {
		method, path, body, headers := odd(i)
		do(h, method, path, body, headers...)
	}
	do(h, "POST", cms, `{"metadata":{"name":"c"}}`)
	do(h, "GET", cms+"/c", "")
	label := regexp.MustCompile(`([a-z_]+)="([^"]*)"`)
	verbs := []string{"other", "CONNECT", "GET", "LIST", "WATCH", "POST", "PUT", "PATCH", "DELETE", "DELETECOLLECTION"}
	n := 0
	for _, s := range series(t, h) {
		if !strings.HasPrefix(s, "apiserver_re") || strings.HasPrefix(s, "apiserver_resource_") {
			continue
		}
		n++
		l := map[string]string{}
		for _, m := range label.FindAllStringSubmatch(s, -1) {
			l[m[1]] = m[2]
		}
		k := h.cfg.Kinds.Resource(schema.GroupVersionResource{Group: l["group"], Version: l["version"], Resource: l["resource"]})
		switch {
		case !slices.Contains(verbs, l["verb"]):
			t.Errorf("verb: %s", s)
		case l["resource"] != "" && k == nil:
			t.Errorf("resource: %s", s)
		case l["resource"] == "" && l["group"]+l["version"] != "":
			t.Errorf("group: %s", s)
		case l["subresource"] != "" && (k == nil || k.Sub(l["subresource"]) == nil):
			t.Errorf("subresource: %s", s)
		case !slices.Contains([]string{"", "cluster", "namespace", "resource"}, l["scope"]):
			t.Errorf("scope: %s", s)
		case l["dry_run"] != "" || l["component"] != "apiserver":
			t.Errorf("%s", s)
		}
	}
	if n == 0 {
		t.Error("no series of requests")
	}
}
