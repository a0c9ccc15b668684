package hub

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"sampan.dev/internal/api"
)

// With priority and fairness what is beyond the seats of a level waits, or is refused as upstream does it, while levels of others and
// administrators go on.
func TestFairness(t *testing.T) {
	d := doorkeeper{make(chan struct{}), make(chan struct{})}
	h := start(t, func(c *Config) { bare(c); c.Authorizer, c.MaxReads, c.MaxWrites = d, 1, 1 }) // each level has one seat, and may borrow one
	believe(h, byHeaders{})
	ended := make(chan answer)
	for range 2 {
		go func() { ended <- do(h, "GET", cms, "", "X-User: slow") }()
		<-d.came
	}
	a := do(h, "GET", cms, "", "X-User: other")
	if a.code != 429 || a.header.Get("Retry-After") != "1" || string(a.body) != "Too many requests, please try again later.\n" {
		t.Errorf("%d %v %q", a.code, a.header, a.body)
	}
	if a := do(h, "GET", cms, "", "X-User: root", "X-Group: system:masters"); a.code != 200 {
		t.Errorf("an administrator: %d", a.code)
	}
	if a := do(h, "PATCH", "/api/v1/nodes/n/status", "{}", "X-User: system:node:n", "X-Group: system:nodes", "Content-Type: application/merge-patch+json"); a.code != 404 {
		t.Errorf("a node: %d %s", a.code, a.body)
	}
	watching, stop := context.WithCancel(t.Context())
	stop()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", cms+"?watch=1", nil).WithContext(watching)
	r.Header.Set("X-User", "other")
	if h.ServeHTTP(w, r); w.Code != 429 {
		t.Errorf("a watch of a level without a seat: %d", w.Code)
	}
	a = do(h, "GET", "/debug/api_priority_and_fairness/dump_priority_levels", "", "X-User: root", "X-Group: system:masters")
	if !strings.Contains(string(a.body), "catch-all,") {
		t.Errorf("%d %s", a.code, a.body)
	}
	a = do(h, "GET", "/metrics", "", "X-User: root", "X-Group: system:masters")
	for _, line := range []string{
		`apiserver_flowcontrol_rejected_requests_total{flow_schema="catch-all",priority_level="catch-all",reason="concurrency-limit"} 2`,
		`apiserver_flowcontrol_current_executing_seats{priority_level="catch-all"} 2`,
		`apiserver_flowcontrol_nominal_limit_seats{priority_level="catch-all"} 1`,
	} {
		if !strings.Contains(string(a.body), line) {
			t.Errorf("no %s", line)
		}
	}
	close(d.open)
	for range 2 {
		if a := <-ended; a.code != 200 {
			t.Errorf("%d %s", a.code, a.body)
		}
	}
	if a := do(h, "GET", cms, "", "X-User: other"); a.code != 200 || h.gate.Reads.Under() != 0 {
		t.Errorf("afterwards: %d, %d under way", a.code, h.gate.Reads.Under())
	}
}

// A watch has a seat until it has sent what it begins with, and none afterwards, whether there was anything or not.
func TestWatchesGiveTheirSeatsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, func(c *Config) { bare(c); c.Authorizer, c.MaxReads, c.MaxWrites = doorkeeper{}, 1, 1 })
		believe(h, byHeaders{})
		const root = "X-Group: system:masters"
		expect(t, h, "201 POST "+cms, `{"metadata":{"name":"a"}}`, "X-User: r", root)
		ctx, stop := context.WithCancel(t.Context())
		var watches sync.WaitGroup
		for _, query := range []string{"", "&resourceVersion=0&fieldSelector=metadata.name=none", "&resourceVersion=1", "&allowWatchBookmarks=1&sendInitialEvents=1&resourceVersionMatch=NotOlderThan"} {
			for range 3 {
				w := httptest.NewRecorder()
				r := httptest.NewRequest("GET", cms+"?watch=1"+query, nil).WithContext(ctx)
				r.Header.Set("X-User", "other")
				watches.Go(func() { h.ServeHTTP(w, r) })
				synctest.Wait()
				if w.Code != 200 {
					t.Errorf("a watch %q: %d %s", query, w.Code, w.Body)
				}
			}
		}
		if a := do(h, "GET", cms, "", "X-User: other"); a.code != 200 {
			t.Errorf("beside the watches: %d %s", a.code, a.body)
		}
		stop()
		watches.Wait()
		a := do(h, "GET", "/metrics", "", "X-User: root", "X-Group: system:masters")
		if !strings.Contains(string(a.body), `apiserver_flowcontrol_current_executing_seats{priority_level="catch-all"} 0`) {
			t.Error("seats are still taken")
		}
	})
}

// byHeaders believes X-User and X-Group, and puts nobody among the authenticated.
type byHeaders struct{}

func (byHeaders) Authenticate(r *http.Request) (api.User, bool, error) {
	u := api.User{Name: r.Header.Get("X-User")}
	if g := r.Header.Get("X-Group"); g != "" {
		u.Groups = []string{g}
	}
	return u, true, nil
}
