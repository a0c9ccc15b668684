package hub

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/deflate"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What requests cost is counted, not timed: counts are the same on a busy machine. The bounds leave about a third of room
// above what is measured (go test -v -run Cost); they are there to catch a copy, an encoding or a walk that was not there.

// sink is a response that nobody reads.
type sink struct {
	header http.Header
	bytes  int64
	writes int
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
func (s *sink) Flush()              {}
func (s *sink) Write(p []byte) (int, error) {
	s.bytes += int64(len(p))
	s.writes++
	return len(p), nil
}

func request(method, path, body string, headers ...string) *http.Request {
	var from io.Reader
	if body != "" {
		from = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, from)
	for _, line := range headers {
		k, v, _ := strings.Cut(line, ": ")
		r.Header.Set(k, v)
	}
	return r
}

// cost is what one of n runs of f allocates: objects and bytes.
func cost(n int, f func()) (mallocs, bytes float64) {
	f() // the first one makes what is made once
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n), float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
}

// withoutAccounts lets pods be made without a service account.
func withoutAccounts(c *Config) { c.DisableAdmission = map[string]bool{"ServiceAccount": true} }

func TestCostOfReads(t *testing.T) {
	h := start(t, withoutAccounts)
	const pods = 2000
	for range pods {
		if a := do(h, "POST", "/api/v1/namespaces/default/pods", benchPod); a.code != 201 {
			t.Fatal(a.code, string(a.body))
		}
	}
	name := dig(do(h, "POST", "/api/v1/namespaces/default/pods", benchPod).object(t), "metadata.name")
	const proto = "Accept: application/vnd.kubernetes.protobuf"
	for _, row := range []struct {
		what, path    string
		headers       []string
		mallocs, size float64 // at most
	}{
		{"get, JSON", fmt.Sprintf("/api/v1/namespaces/default/pods/%v", name), nil, 45, 4 << 10},
		{"get, protobuf", fmt.Sprintf("/api/v1/namespaces/default/pods/%v", name), []string{proto}, 50, 4 << 10},
		// A list of 2,000 holds a word or three for each object and nothing else.
		{"list, JSON", "/api/v1/pods", nil, 90, 40 * pods},
		{"list, protobuf", "/api/v1/pods", []string{proto}, 90, 40 * pods},
		// Compressing the first element takes a compressor, which the collector may have taken from the pool.
		{"list, JSON, gzip", "/api/v1/pods", []string{"Accept-Encoding: gzip"}, 100, 120 * pods},
		{"list, protobuf, gzip", "/api/v1/pods", []string{proto, "Accept-Encoding: gzip"}, 100, 120 * pods},
		{"page of a list", "/api/v1/pods?limit=10", []string{proto}, 100, 10 << 10},
	} {
		r := request("GET", row.path, "", row.headers...)
		var w *sink
		mallocs, size := cost(20, func() {
			w = &sink{header: http.Header{}}
			h.ServeHTTP(w, r)
		})
		t.Logf("%-22s %6.0f allocations, %8.0f bytes allocated, %8d sent in %d writes", row.what, mallocs, size, w.bytes, w.writes)
		if raceEnabled {
			continue // its runtime allocates on its own account
		}
		if mallocs > row.mallocs || size > row.size {
			t.Errorf("%s: %.0f allocations of %.0f bytes, at most %.0f of %.0f", row.what, mallocs, size, row.mallocs, row.size)
		}
	}
}

// One event costs one encoding, however many watch.
func TestCostOfAnEventPerWatcher(t *testing.T) {
	if raceEnabled {
		t.Skip("its runtime allocates on its own account")
	}
	h := start(t, nil)
	cms := "/api/v1/namespaces/default/configmaps"
	do(h, "POST", cms, `{"metadata":{"name":"c"},"data":{"k":"`+strings.Repeat("x", 1000)+`"}}`)
	n := 0
	change := func() {
		n++
		if a := do(h, "PATCH", cms+"/c", fmt.Sprintf(`{"data":{"n":"%d"}}`, n), "Content-Type: application/merge-patch+json"); a.code != 200 {
			t.Fatal(a.code, string(a.body))
		}
	}
	alone, _ := cost(50, change)
	const watchers = 100
	ctx, stop := context.WithCancel(t.Context())
	got, ended := make(chan struct{}, watchers), make(chan struct{}, watchers)
	for range watchers {
		go func() {
			h.ServeHTTP(&counter{sink{header: http.Header{}}, got}, request("GET", cms+"?watch=1", "").WithContext(ctx))
			ended <- struct{}{}
		}()
	}
	// The object that is there comes first.
	wait := func() {
		for range watchers {
			<-got
		}
	}
	wait()
	watched, _ := cost(50, func() {
		change()
		wait()
	})
	per := (watched - alone) / watchers
	t.Logf("a change costs %.0f allocations, and %.1f more for each of %d watchers", alone, per, watchers)
	if per > 6 {
		t.Errorf("%.1f allocations per watcher and event", per)
	}
	stop()
	for range watchers {
		<-ended
	}
}

// counter tells of each event that was written.
type counter struct {
	sink
	got chan struct{}
}

func (c *counter) Write(p []byte) (int, error) {
	c.got <- struct{}{}
	return c.sink.Write(p)
}

// A pod that the hub holds, as stored and as decoded, with what the store has of it. The gate of the speed issue is 16 KB
// for a pod of 4 to 5 KB.
func TestMemoryOfAPod(t *testing.T) {
	if raceEnabled {
		t.Skip("its runtime allocates on its own account")
	}
	h := start(t, withoutAccounts)
	door := h.Door(api.User{Name: "u", Groups: []string{api.GroupMasters}}, "cost")
	held := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	const n = 1000
	size := 0
	before := held()
	for i := range n {
		p, err := client.Create(t.Context(), door, client.Pods, largePod(i))
		if err != nil {
			t.Fatal(err)
		}
		size = p.Size()
	}
	per := (held() - before) / n
	runtime.KeepAlive(h)
	t.Logf("a pod of %d bytes in protobuf takes %.0f bytes", size, per)
	if per > 24<<10 { // the memory store has its bytes, too, which etcd has on disk
		t.Errorf("a pod of %d bytes in protobuf takes %.0f bytes", size, per)
	}
}

func largePod(i int) *corev1.Pod {
	var env []corev1.EnvVar
	for n := range 12 {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("APPLICATION_SETTING_%02d", n), Value: fmt.Sprintf("the value of setting %d of pod %d", n, i)})
	}
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz"}}, PeriodSeconds: 10}
	probe.HTTPGet.Port.IntVal = 8080
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: fmt.Sprintf("frontend-5d5f9f7c7b-%05d", i),
			Labels:      map[string]string{"app.kubernetes.io/name": "frontend", "app.kubernetes.io/part-of": "shop", "pod-template-hash": "5d5f9f7c7b"},
			Annotations: map[string]string{"checksum/config": strings.Repeat("0123456789abcdef", 4)},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "app", Image: "registry.example.com/shop/frontend:v1.24.3", Args: []string{"--listen=:8080", "--log-level=info"}, Env: env, LivenessProbe: probe, ReadinessProbe: probe},
			{Name: "sidecar", Image: "registry.example.com/mesh/proxy:v2.1.0"},
		}},
	}
}

// What is compressed for one list serves the next, and a change of one object costs one run.
func TestRunsAreCompressedOnce(t *testing.T) {
	h := start(t, nil)
	for i := range 200 {
		do(h, "POST", "/api/v1/namespaces/default/configmaps", fmt.Sprintf(`{"metadata":{"name":"c%d"},"data":{"k":%q}}`, i, strings.Repeat("data ", 400)))
	}
	list := func() { do(h, "GET", "/api/v1/configmaps", "", "Accept-Encoding: gzip") }
	list()
	before := deflate.Made()
	list()
	list()
	if n := deflate.Made() - before; n != 2 { // the first element of a list stands alone and is not kept
		t.Errorf("two more lists compressed %d times", n)
	}
	do(h, "PATCH", "/api/v1/namespaces/default/configmaps/c77", `{"data":{"x":"y"}}`, "Content-Type: application/merge-patch+json")
	before = deflate.Made()
	list()
	if n := deflate.Made() - before; n != 2 {
		t.Errorf("a list after one change compressed %d times", n)
	}
}
