package hub

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestPatches(t *testing.T) {
	h := start(t, nil)
	const deps = "/apis/apps/v1/namespaces/default/deployments"
	a := do(h, "POST", deps, `{"metadata":{"name":"d"},"spec":{"replicas":2,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},
		"spec":{"containers":[{"name":"one","image":"i:1"},{"name":"two","image":"j:1"}]}}}}`)
	if a.code != 201 || dig(a.object(t), "metadata.generation") != 1.0 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	for _, c := range []struct {
		media, path, body string
		code              int
		field             string
		want              any
	}{
		{"merge-patch+json", "", `{"spec":{"replicas":3}}`, 200, "spec.replicas", 3.0},
		{"merge-patch+json", "", `{"spec":{"replicas":3}}`, 200, "metadata.generation", 2.0},
		{"json-patch+json", "", `[{"op":"replace","path":"/spec/replicas","value":4}]`, 200, "spec.replicas", 4.0},
		{"strategic-merge-patch+json", "", `{"metadata":{"labels":{"x":"y"}}}`, 200, "metadata.labels.x", "y"},
		{"merge-patch+json", "?dryRun=All", `{"spec":{"replicas":9}}`, 200, "spec.replicas", 9.0},
		{"merge-patch+json", "", `{"metadata":{"resourceVersion":"1"}}`, 409, "reason", "Conflict"},
		{"merge-patch+json", "/status", `{"status":{"replicas":7},"spec":{"replicas":1}}`, 200, "status.replicas", 7.0},
		{"merge-patch+json", "/status", `{"status":{"replicas":7},"spec":{"replicas":1}}`, 200, "spec.replicas", 4.0},
		{"merge-patch+json", "", `{"status":{"replicas":1}}`, 200, "status.replicas", 7.0},
		{"merge-patch+json", "/scale", `{"spec":{"replicas":6}}`, 200, "spec.replicas", 6.0},
		{"merge-patch+json", "/scale", `{"spec":{"replicas":-1}}`, 422, "reason", "Invalid"},
		{"apply-patch+yaml", "?fieldManager=me", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 1}\n", 409, "reason", "Conflict"},
		{"apply-patch+yaml", "?fieldManager=me&force=true", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 1}\n", 200, "spec.replicas", 1.0},
	} {
		a := do(h, "PATCH", deps+"/d"+c.path, c.body, "Content-Type: application/"+c.media)
		if got := dig(a.object(t), c.field); a.code != c.code || got != c.want {
			t.Errorf("%s %s %s: %d %s = %v, want %v\n%s", c.media, c.path, c.body, a.code, c.field, got, c.want, a.body)
		}
	}
	a = do(h, "GET", deps+"/d/scale", "")
	if o := a.object(t); o["kind"] != "Scale" || dig(o, "spec.replicas") != 1.0 || dig(o, "status.selector") != "a=b" {
		t.Errorf("%s", a.body)
	}
	a = do(h, "PUT", deps+"/d/scale", `{"metadata":{"name":"d"},"spec":{"replicas":5}}`)
	if a.code != 200 || dig(a.object(t), "spec.replicas") != 5.0 {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a = do(h, "PATCH", cms+"/fresh?fieldManager=me", "{apiVersion: v1, kind: ConfigMap, metadata: {name: fresh}, data: {a: b}}", "Content-Type: application/apply-patch+yaml"); a.code != 201 {
		t.Errorf("apply does not create: %d %s", a.code, a.body)
	}
}

func TestDeletion(t *testing.T) {
	h := start(t, nil)
	code := func(a answer, want int) answer {
		t.Helper()
		if a.code != want {
			t.Fatalf("%d %s", a.code, a.body)
		}
		return a
	}
	makeMaps(t, h, 6)
	// Plain: a Status that names what is gone.
	a := code(do(h, "DELETE", cms+"/m00", ""), 200)
	if o := a.object(t); o["status"] != "Success" || dig(o, "details.name") != "m00" || dig(o, "details.kind") != "configmaps" || dig(o, "details.uid") == "" {
		t.Errorf("%s", a.body)
	}
	code(do(h, "DELETE", cms+"/m00", ""), 404)
	// Dry run leaves it.
	code(do(h, "DELETE", cms+"/m01?dryRun=All", ""), 200)
	code(do(h, "GET", cms+"/m01", ""), 200)
	// Preconditions.
	code(do(h, "DELETE", cms+"/m01", `{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"uid":"x"}}`), 409)
	code(do(h, "DELETE", cms+"/m01", `{"kind":"DeleteOptions","apiVersion":"v1","preconditions":{"resourceVersion":"1"}}`), 409)
	// Finalizers hold; the last one lets go.
	code(do(h, "PATCH", cms+"/m01", `{"metadata":{"finalizers":["example.com/x"]}}`, "Content-Type: application/merge-patch+json"), 200)
	a = code(do(h, "DELETE", cms+"/m01", ""), 200)
	if dig(a.object(t), "metadata.deletionTimestamp") == nil || dig(a.object(t), "metadata.deletionGracePeriodSeconds") != 0.0 {
		t.Errorf("%s", a.body)
	}
	a = code(do(h, "PATCH", cms+"/m01", `{"metadata":{"finalizers":["example.com/x","example.com/y"]}}`, "Content-Type: application/merge-patch+json"), 422)
	if !strings.Contains(a.status(t).Message, `metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted`) {
		t.Errorf("%s", a.body)
	}
	a = code(do(h, "POST", cms, `{"metadata":{"name":"m01"}}`), 409)
	if m := a.status(t).Message; m != `object is being deleted: configmaps "m01" already exists` {
		t.Errorf("%s", m)
	}
	code(do(h, "PATCH", cms+"/m01", `{"metadata":{"finalizers":null}}`, "Content-Type: application/merge-patch+json"), 200)
	code(do(h, "GET", cms+"/m01", ""), 404)
	// Propagation.
	a = code(do(h, "DELETE", cms+"/m02?propagationPolicy=Foreground", ""), 200)
	if fmt.Sprint(dig(a.object(t), "metadata.finalizers")) != "[foregroundDeletion]" {
		t.Errorf("%s", a.body)
	}
	a = code(do(h, "DELETE", cms+"/m03", `{"propagationPolicy":"Orphan"}`), 200)
	if fmt.Sprint(dig(a.object(t), "metadata.finalizers")) != "[orphan]" {
		t.Errorf("%s", a.body)
	}
	// Collections.
	code(do(h, "DELETE", cms+"?labelSelector=odd%3Dtrue&fieldSelector=metadata.name%3Dm05", ""), 200)
	code(do(h, "GET", cms+"/m05", ""), 404)
	code(do(h, "GET", cms+"/m04", ""), 200)
}

func TestPodDeletion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, func(c *Config) { c.DisableAdmission = map[string]bool{"ServiceAccount": true} })
		const pods = "/api/v1/namespaces/default/pods"
		make := func(name, node string) {
			t.Helper()
			a := do(h, "POST", pods, fmt.Sprintf(`{"metadata":{"name":%q},"spec":{"nodeName":%q,"containers":[{"name":"c","image":"i"}]}}`, name, node))
			if a.code != 201 {
				t.Fatalf("%d %s", a.code, a.body)
			}
		}
		make("waiting", "")
		if a := do(h, "DELETE", pods+"/waiting", ""); a.code != 200 || a.object(t)["kind"] != "Pod" {
			t.Errorf("%d %s", a.code, a.body)
		}
		if a := do(h, "GET", pods+"/waiting", ""); a.code != 404 {
			t.Errorf("a pod on no node is deleted at once: %d", a.code)
		}
		make("p", "n1")
		a := do(h, "DELETE", pods+"/p", "")
		if o := a.object(t); dig(o, "metadata.deletionGracePeriodSeconds") != 30.0 {
			t.Fatalf("%s", a.body)
		}
		end := dig(a.object(t), "metadata.deletionTimestamp").(string)
		time.Sleep(5 * time.Second)
		// Longer is not granted, shorter is.
		a = do(h, "DELETE", pods+"/p?gracePeriodSeconds=60", "")
		if dig(a.object(t), "metadata.deletionTimestamp") != end {
			t.Errorf("%s", a.body)
		}
		a = do(h, "DELETE", pods+"/p?gracePeriodSeconds=10", "")
		was, _ := time.Parse(time.RFC3339, end)
		is, _ := time.Parse(time.RFC3339, dig(a.object(t), "metadata.deletionTimestamp").(string))
		if was.Sub(is) != 20*time.Second || dig(a.object(t), "metadata.deletionGracePeriodSeconds") != 10.0 {
			t.Errorf("%v then %v: %s", was, is, a.body)
		}
		if a = do(h, "DELETE", pods+"/p?gracePeriodSeconds=0", ""); a.code != 200 {
			t.Errorf("%d %s", a.code, a.body)
		}
		if a = do(h, "GET", pods+"/p", ""); a.code != 404 {
			t.Errorf("%d %s", a.code, a.body)
		}
	})
}

func TestNamespaceDeletion(t *testing.T) {
	h := start(t, nil)
	if a := do(h, "POST", "/api/v1/namespaces", `{"metadata":{"name":"n"}}`); a.code != 201 || fmt.Sprint(dig(a.object(t), "spec.finalizers")) != "[kubernetes]" {
		t.Fatalf("%d %s", a.code, a.body)
	}
	a := do(h, "DELETE", "/api/v1/namespaces/n", "")
	if o := a.object(t); dig(o, "status.phase") != "Terminating" || dig(o, "metadata.deletionTimestamp") == nil {
		t.Fatalf("%s", a.body)
	}
	a = do(h, "POST", "/api/v1/namespaces/n/configmaps", `{"metadata":{"name":"late"}}`)
	if a.code != 403 || !strings.Contains(string(a.body), "because it is being terminated") {
		t.Errorf("%d %s", a.code, a.body)
	}
	if a = do(h, "DELETE", "/api/v1/namespaces/n", ""); a.code != 200 && a.code != 409 {
		t.Errorf("%d %s", a.code, a.body)
	}
	ns := do(h, "GET", "/api/v1/namespaces/n", "")
	body := strings.Replace(string(ns.body), `"finalizers":["kubernetes"]`, `"finalizers":[]`, 1)
	if a = do(h, "PUT", "/api/v1/namespaces/n/finalize", body); a.code != 200 {
		t.Fatalf("%d %s", a.code, a.body)
	}
	if a = do(h, "GET", "/api/v1/namespaces/n", ""); a.code != 404 {
		t.Errorf("finalized, but still there: %d %s", a.code, a.body)
	}
}

func TestGeneratedNames(t *testing.T) {
	h := start(t, nil)
	seen := map[string]bool{}
	for range 20 {
		a := do(h, "POST", cms, `{"metadata":{"generateName":"g-"}}`)
		name, _ := dig(a.object(t), "metadata.name").(string)
		if a.code != 201 || len(name) != 7 || strings.ContainsAny(name[2:], "aeiou013") || seen[name] {
			t.Fatalf("%d %s", a.code, a.body)
		}
		seen[name] = true
	}
	a := do(h, "POST", cms, `{"metadata":{"generateName":"`+strings.Repeat("x", 70)+`"}}`)
	if name, _ := dig(a.object(t), "metadata.name").(string); len(name) != 63 {
		t.Errorf("%d %s", a.code, a.body)
	}
}

// TestContendedPatches: every one of many concurrent patches is there in the end.
func TestContendedPatches(t *testing.T) {
	h := start(t, nil)
	makeMaps(t, h, 1)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 10 {
				a := do(h, "PATCH", cms+"/m00", fmt.Sprintf(`{"data":{"k%d-%d":"v"}}`, i, j), "Content-Type: application/merge-patch+json")
				if a.code != 200 {
					t.Errorf("%d %s", a.code, a.body)
				}
			}
		})
	}
	wg.Wait()
	if n := len(do(h, "GET", cms+"/m00", "").object(t)["data"].(map[string]any)); n != 161 {
		t.Errorf("%d keys", n)
	}
}

func TestBindingAndEviction(t *testing.T) {
	h := start(t, func(c *Config) { c.DisableAdmission = map[string]bool{"ServiceAccount": true} })
	const pods = "/api/v1/namespaces/default/pods"
	do(h, "POST", pods, `{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`)
	bind := `{"apiVersion":"v1","kind":"Binding","metadata":{"name":"p"},"target":{"kind":"Node","name":"n1"}}`
	if a := do(h, "POST", pods+"/p/binding", bind); a.code != 201 || a.object(t)["status"] != "Success" {
		t.Fatalf("%d %s", a.code, a.body)
	}
	p := do(h, "GET", pods+"/p", "").object(t)
	if dig(p, "spec.nodeName") != "n1" || !strings.Contains(fmt.Sprint(dig(p, "status.conditions")), "PodScheduled") {
		t.Errorf("%v", p)
	}
	a := do(h, "POST", "/api/v1/namespaces/default/bindings", bind)
	if s := a.status(t); a.code != 409 || s.Message != `Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"` {
		t.Errorf("%d %s", a.code, a.body)
	}
	evict := `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"p"}}`
	if a := do(h, "POST", pods+"/p/eviction?dryRun=All", evict); a.code != 201 {
		t.Errorf("%d %s", a.code, a.body)
	}
	if p := do(h, "GET", pods+"/p", "").object(t); dig(p, "metadata.deletionTimestamp") != nil {
		t.Error("a dry run evicted")
	}
	if a := do(h, "POST", pods+"/p/eviction", evict); a.code != 201 {
		t.Errorf("%d %s", a.code, a.body)
	}
	p = do(h, "GET", pods+"/p", "").object(t)
	if dig(p, "metadata.deletionTimestamp") == nil || !strings.Contains(fmt.Sprint(dig(p, "status.conditions")), "EvictionByEvictionAPI") {
		t.Errorf("%v", p)
	}
}
