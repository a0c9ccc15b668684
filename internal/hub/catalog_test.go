package hub

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/api/apitest"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/catalog"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// guests are kinds that a test adds to a running hub, besides apitest's Gauge, which exists in tests only, has no Go type and two
// versions: one with a status, a scale and columns, and one that is served by two groups.
var guests = []string{"replicationcontrollers", "events"}

// apart takes the guests from the kinds of a hub.
func apart(c *Config) (guest []*api.Kind) {
	var rest []*api.Kind
	for _, k := range all.Kinds().All() {
		if slices.Contains(guests, k.Resource) {
			guest = append(guest, k)
		} else {
			rest = append(rest, k)
		}
	}
	c.Kinds = api.NewKinds(rest)
	return append(guest, apitest.Gauges()...)
}

const (
	rcs       = "/api/v1/namespaces/default/replicationcontrollers"
	rcBody    = `{"metadata":{"name":"r","labels":{"a":"b"}},"spec":{"replicas":1,"selector":{"a":"b"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i"}]}}}}`
	oldEvents = "/api/v1/namespaces/default/events"
	newEvents = "/apis/events.k8s.io/v1/namespaces/default/events"
	eventBody = `{"metadata":{"name":"e"},"involvedObject":{"kind":"Pod","name":"p","namespace":"default"},"reason":"r","type":"Normal"}`
)

// expect makes requests and wants them to end with a status code; a line is "CODE METHOD PATH".
func expect(t *testing.T, h *Hub, line, body string, headers ...string) answer {
	t.Helper()
	var code int
	var method, path string
	fmt.Sscan(line, &code, &method, &path)
	a := do(h, method, path, body, headers...)
	if a.code != code {
		t.Errorf("%s: %d %s", line, a.code, a.body)
	}
	return a
}

// Kinds come to a hub that runs, are used in every way, and go. Nothing of them is left.
func TestKindsComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var guest []*api.Kind
		h := start(t, func(c *Config) { bare(c); guest = apart(c) })
		synctest.Wait()
		goroutines, caches := bubbled(), len(h.catalog.Running())
		kinds, err := h.Own().(*own).Interface.(client.Discoverer).Served(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // what has gone may come again
			expect(t, h, "404 GET "+rcs, "")
			expect(t, h, "404 GET /apis/events.k8s.io/v1", "")
			if err := h.Catalog().Add(guest...); err != nil {
				t.Fatal(err)
			}
			if kinds, err = h.Own().(*own).Interface.(client.Discoverer).Served(t.Context(), kinds); err != nil || kinds.Resource(guest[0].GVR()) != guest[0] {
				t.Fatal("clients are not told what is served", err)
			}
			useGuests(t, h, guest)
			if n := len(h.catalog.Running()); n != caches+3 {
				t.Errorf("%d caches run", n)
			}
			var watches []<-chan watch.Event
			for _, k := range guest {
				watches = append(watches, watchGuest(t, h, k.GVR()))
			}
			if err := h.Catalog().Remove(t.Context(), guest...); err != nil {
				t.Fatal(err)
			}
			for i, events := range watches {
				last := <-events
				st, ok := last.Object.(*metav1.Status)
				if last.Type != watch.Error || !ok || st.Reason != metav1.StatusReasonGone || !strings.Contains(st.Message, "no longer served") {
					t.Errorf("the watch of %s ends with %v %v", guest[i].GVR(), last.Type, last.Object)
				}
				if _, open := <-events; open {
					t.Errorf("the watch of %s goes on", guest[i].GVR())
				}
			}
			expect(t, h, "404 GET "+rcs, "")
			expect(t, h, "404 GET "+gaugesV2, "")
			if a := do(h, "GET", "/apis", ""); strings.Contains(string(a.body), "events.k8s.io") {
				t.Error("discovery still tells of it")
			}
			synctest.Wait()
			if n := bubbled(); n != goroutines {
				t.Errorf("%d goroutines, %d before:\n%s", n, goroutines, stacks())
			}
			if n := len(h.catalog.Running()); n != caches {
				t.Errorf("%d caches run, %d before", n, caches)
			}
			kinds = h.catalog.Now().Kinds()
		}
	})
}

// stacks are those of all goroutines.
func stacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// bubbled counts the goroutines of the test's bubble: those of the runtime come and go.
func bubbled() int { return strings.Count(stacks(), ", synctest bubble ") }

// useGuests does with the guests all that can be done, and leaves nothing of them in the store.
func useGuests(t *testing.T, h *Hub, guest []*api.Kind) {
	t.Helper()
	if n := len(h.catalog.Running()); n == 0 {
		t.Fatal("no cache runs")
	}
	events := watchGuest(t, h, client.ReplicationControllers)
	expect(t, h, "201 POST "+rcs, rcBody)
	if ev := <-events; ev.Type != watch.Added {
		t.Errorf("%v", ev)
	}
	expect(t, h, "409 POST "+rcs, rcBody)
	table := expect(t, h, "200 GET "+rcs, "", "Accept: application/json;as=Table;g=meta.k8s.io;v=v1")
	if rows, _ := dig(table.object(t), "rows").([]any); len(rows) != 1 || len(rows[0].(map[string]any)["cells"].([]any)) < 4 {
		t.Errorf("table: %s", table.body)
	}
	expect(t, h, "200 PATCH "+rcs+"/r", `{"spec":{"replicas":2}}`, "Content-Type: application/merge-patch+json")
	expect(t, h, "200 PATCH "+rcs+"/r?fieldManager=me&force=true", `{"apiVersion":"v1","kind":"ReplicationController","metadata":{"name":"r"},"spec":{"replicas":3}}`, "Content-Type: application/apply-patch+yaml")
	if a := expect(t, h, "200 GET "+rcs+"/r/scale", ""); dig(a.object(t), "spec.replicas") != 3.0 {
		t.Errorf("scale: %s", a.body)
	}
	expect(t, h, "405 PUT "+rcs, "{}")
	expect(t, h, "404 GET "+rcs+"/r/nothing", "")
	expect(t, h, "200 DELETE "+rcs+"/r?propagationPolicy=Background", "")

	expect(t, h, "201 POST "+oldEvents, eventBody)
	if a := expect(t, h, "200 GET "+newEvents+"/e", ""); dig(a.object(t), "regarding.name") != "p" {
		t.Errorf("the other version: %s", a.body)
	}
	expect(t, h, "200 DELETE "+newEvents+"/e", "")
	useGauges(t, h)
	if a := expect(t, h, "200 GET /apis", ""); !strings.Contains(string(a.body), "events.k8s.io") || !strings.Contains(string(a.body), apitest.Group) {
		t.Error("discovery does not tell of it")
	}
	if a := expect(t, h, "200 GET /openapi/v3", ""); !strings.Contains(string(a.body), "apis/events.k8s.io/v1") {
		t.Error("OpenAPI does not tell of it")
	}
	synctest.Wait() // the cache has heard of the deletion
	if a := expect(t, h, "200 GET /metrics", ""); !strings.Contains(string(a.body), `apiserver_storage_objects{resource="replicationcontrollers"} 0`) {
		t.Error("metrics do not count it")
	}
}

// useGauges uses a kind that is stored as JSON and served in two versions, of which one object cannot be converted.
func useGauges(t *testing.T, h *Hub) {
	t.Helper()
	gauges := apitest.Gauges()
	events := watchGuest(t, h, gauges[1].GVR())
	mustGauge(t, do(h, "POST", gaugesV1, gaugeJSON("v1", "a", `"level":7`)), 201, "spec.level", 7.0)
	if ev := <-events; ev.Type != watch.Added || dig(ev.Object.(*unstructured.Unstructured).Object, "spec.reading") != "7 bar" {
		t.Errorf("%v", ev)
	}
	mustGauge(t, do(h, "PATCH", gaugesV2+"/a", `{"spec":{"reading":"9 bar"}}`, mergeIt), 200, "spec.reading", "9 bar")
	mustGauge(t, do(h, "PATCH", gaugesV1+"/a?fieldManager=me&force=true",
		`{"apiVersion":"test.sampan.dev/v1","kind":"Gauge","metadata":{"name":"a"},"spec":{"level":11}}`, applyIt), 200, "spec.level", 11.0)
	if rows := dig(do(h, "GET", gaugesV2, "", asTable).object(t), "rows").([]any); len(rows) != 1 || rows[0].(map[string]any)["cells"].([]any)[1] != "11 bar" {
		t.Errorf("table: %v", rows)
	}
	stuck := strings.Replace(gaugeJSON("v1", "b", `"level":8`), `"name"`, `"labels":{"stuck":"1"},"name"`, 1)
	expect(t, h, "201 POST "+gaugesV1, stuck)
	expect(t, h, "500 GET "+gaugesV2+"/b", "")
	expect(t, h, "200 GET "+gaugesV2+"/a", "")
	expect(t, h, "200 DELETE "+gaugesV1+"/b", "")
	expect(t, h, "200 DELETE "+gaugesV2+"/a", "")
	if a := expect(t, h, "200 GET /openapi/v3", ""); !strings.Contains(string(a.body), "apis/test.sampan.dev/v2") {
		t.Error("OpenAPI does not tell of gauges")
	}
	expect(t, h, "200 GET /openapi/v3/apis/test.sampan.dev/v1", "")
	expect(t, h, "200 GET /openapi/v2", "")
}

// watchGuest watches a resource through a client in process from now on.
func watchGuest(t *testing.T, h *Hub, r schema.GroupVersionResource) <-chan watch.Event {
	t.Helper()
	l, err := h.Own().List(t.Context(), client.Ref{Resource: r}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := h.Own().Watch(t.Context(), client.Ref{Resource: r}, metav1.ListOptions{ResourceVersion: l.ResourceVersion})
	if err != nil {
		t.Fatal(err)
	}
	return w.ResultChan()
}

// What clients write needs no cache. The first who reads starts one; it stops when nobody has read for five minutes, and not
// while somebody watches. A watch that goes on from before is told to list again.
func TestCachesRunWhileSomebodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := start(t, bare)
		running := func() int { synctest.Wait(); return len(h.catalog.Running()) }
		before := running()
		made := expect(t, h, "201 POST "+oldEvents, eventBody)
		if n := running(); n != before {
			t.Fatalf("a write started a cache: %d, %d before", n, before)
		}
		goroutines := bubbled()
		for range 2 {
			if a := expect(t, h, "200 GET "+oldEvents, ""); len(dig(a.object(t), "items").([]any)) != 1 {
				t.Errorf("%s", a.body)
			}
			if n := running(); n != before+1 {
				t.Fatalf("%d caches, %d before", n, before)
			}
			time.Sleep(catalog.DefaultIdle / 2)
			expect(t, h, "200 GET "+newEvents+"/e", "")
			time.Sleep(catalog.DefaultIdle * 3 / 4)
			if n := running(); n != before+1 {
				t.Fatal("it stopped while it was read")
			}
			time.Sleep(catalog.DefaultIdle)
			if n := running(); n != before || bubbled() != goroutines {
				t.Fatalf("nobody reads it any more: %d caches, %d before; %d goroutines, %d before", n, before, bubbled(), goroutines)
			}
		}
		ctx, end := context.WithCancel(t.Context())
		w, err := h.Own().Watch(ctx, client.Ref{Resource: client.Events}, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		<-w.ResultChan()
		time.Sleep(4 * catalog.DefaultIdle)
		if n := running(); n != before+1 {
			t.Fatal("it stopped while it was watched")
		}
		expect(t, h, "200 DELETE "+oldEvents+"/e", "")
		if ev := <-w.ResultChan(); ev.Type != watch.Deleted {
			t.Errorf("%v", ev)
		}
		end()
		time.Sleep(2 * catalog.DefaultIdle)
		if n := running(); n != before {
			t.Fatal("it runs though nobody watches any more")
		}
		old := dig(made.object(t), "metadata.resourceVersion").(string)
		w, err = h.Own().Watch(t.Context(), client.Ref{Resource: client.Events}, metav1.ListOptions{ResourceVersion: old})
		if err != nil {
			t.Fatal(err)
		}
		if st, ok := (<-w.ResultChan()).Object.(*metav1.Status); !ok || st.Code != http.StatusGone {
			t.Errorf("from before: %v", st)
		}
		w.Stop()
	})
}

// A kind that nobody reads takes less than two kilobytes.
func TestWhatAKindCostsThatNobodyReads(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory counts")
	}
	h := start(t, bare)
	const n = 1000
	heap := func() uint64 {
		var m runtime.MemStats
		for range 3 {
			runtime.GC()
		}
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	goroutines, before := runtime.NumGoroutine(), heap()
	kinds := make([]*api.Kind, n)
	for i := range kinds {
		kinds[i] = &api.Kind{
			Group: "example.com", Version: "v1", Kind: fmt.Sprint("Thing", i), Resource: fmt.Sprint("things", i), Unowned: true,
			New: func() api.Object { return &corev1.ConfigMap{} },
		}
	}
	if err := h.Catalog().Add(kinds...); err != nil {
		t.Fatal(err)
	}
	each := (int64(heap()) - int64(before)) / n
	t.Logf("%d bytes each", each)
	if each >= 2<<10 {
		t.Errorf("%d bytes each", each)
	}
	// What the hub's own start leaves running may have begun in between; a goroutine for each tenth kind would be too many.
	if more := runtime.NumGoroutine() - goroutines; more > n/10 {
		t.Fatalf("%d goroutines more", more)
	}
	if err := h.Catalog().Remove(t.Context(), kinds...); err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(kinds)
}

// Somebody else may answer for a resource, after the hub has asked who it is and whether they may.
func TestABackendAnswers(t *testing.T) {
	h := start(t, nil)
	k := &api.Kind{Group: "example.com", Version: "v1", Kind: "Far", Resource: "fars", Singular: "far", Namespaced: true}
	err := h.Catalog().AddBackend(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprint(w, r.Method, r.URL.Path)
	}), k)
	if err != nil {
		t.Fatal(err)
	}
	const path = "/apis/example.com/v1/namespaces/n/fars/f/anything/else"
	if a := expect(t, h, "418 PUT "+path, "{}"); string(a.body) != "PUT"+path {
		t.Errorf("%s", a.body)
	}
	expect(t, h, "403 GET "+path, "", "X-User: ann")
	expect(t, h, "200 GET /apis/example.com/v1", "")
	if _, err := h.Own().Get(t.Context(), client.Ref{Resource: k.GVR(), Namespace: "n", Name: "f"}, getOptions); err == nil {
		t.Error("a client in process was answered")
	}
	if err := h.Catalog().Remove(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	expect(t, h, "404 GET "+path, "")
}

// The same over connections.
func TestKindsComeAndGoOverTheNetwork(t *testing.T) {
	var guest []*api.Kind
	h := start(t, func(c *Config) { bare(c); guest = apart(c) })
	s := httptest.NewServer(h)
	defer s.Close()
	get := func(path string) int {
		resp, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	for _, want := range []int{404, 200, 404} {
		for _, path := range []string{"/apis/events.k8s.io/v1", "/openapi/v3/apis/events.k8s.io/v1", newEvents, "/apis/test.sampan.dev/v2", "/openapi/v3/apis/test.sampan.dev/v2", gaugesV2} {
			if code := get(path); code != want {
				t.Errorf("%s: %d, want %d", path, code, want)
			}
		}
		var err error
		if want == 404 && h.catalog.Now().Resource(guest[0].GVR()) == nil {
			err = h.Catalog().Add(guest...)
		} else {
			err = h.Catalog().Remove(t.Context(), guest...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
