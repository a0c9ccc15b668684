package kubelet

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// manifests is a source of static pods: a folder, or a URL.
type manifests struct {
	dir string // "" for a URL
	url string
	mu  sync.Mutex
	now map[string]string // name of a pod -> image
	off bool              // the URL does not answer
}

func folder(t *testing.T) *manifests {
	return &manifests{dir: t.TempDir()}
}

func served(t *testing.T) *manifests {
	m := &manifests{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.off {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "apiVersion: v1\nkind: PodList\nitems:")
		for name, image := range m.now {
			fmt.Fprintf(w, "- {metadata: {name: %s}, spec: {containers: [{name: c, image: %q}]}}\n", name, image)
		}
		if len(m.now) == 0 {
			fmt.Fprintln(w, " []")
		}
	}))
	t.Cleanup(srv.Close)
	m.url = srv.URL
	return m
}

// set makes the source hold these pods.
func (m *manifests) set(t *testing.T, pods map[string]string) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = pods
	if m.dir == "" {
		return
	}
	old, _ := filepath.Glob(filepath.Join(m.dir, "*"))
	for _, path := range old {
		os.Remove(path)
	}
	for name, image := range pods {
		text := fmt.Sprintf("{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {containers: [{name: c, image: %q}]}}", name, image)
		if err := os.WriteFile(filepath.Join(m.dir, name+".yaml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// startStatic runs a hollow node with static pods until stop is called.
func startStatic(t *testing.T, h *hub.Hub, rt *runtime.Fake, m *manifests) (k *Kubelet, stop func()) {
	t.Helper()
	k, err := New(Config{NodeName: "n1", Runtime: rt, Door: h.Door(api.Node("n1"), "kubelet"), Log: slog.New(slog.DiscardHandler),
		Machine: hollow{}, NoCgroups: true, Register: true, ContainerLogs: "-", StaticPods: m.dir, ManifestURL: m.url})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return k, stop
}

// state is what the hub shows of the node's pods, "name image" each, and how many the runtime runs.
func state(t *testing.T, h *hub.Hub, rt *runtime.Fake) string {
	t.Helper()
	var out []string
	for _, name := range []string{"a-n1", "b-n1"} {
		p, err := client.Get[*corev1.Pod](t.Context(), h.Own(), client.Pods, "default", name)
		if err == nil && p.Status.Phase == corev1.PodRunning {
			out = append(out, name+" "+p.Spec.Containers[0].Image)
		}
	}
	pods, err := rt.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	running := 0
	for _, p := range pods {
		if p.Running() {
			running++
		}
	}
	return fmt.Sprint(strings.Join(out, ", "), "; ", running, " run")
}

// eventually waits for a state; how long that takes is up to the machine.
func eventually(t *testing.T, want string, now func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got := now()
		if got == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

// TestStaticPodsAcrossRestart changes the manifests while no kubelet runs: the next one's hub shows what they say, and nothing
// else runs.
func TestStaticPodsAcrossRestart(t *testing.T) {
	type pods = map[string]string
	for source, open := range map[string]func(*testing.T) *manifests{"folder": folder, "url": served} {
		for name, c := range map[string]struct {
			before, after pods
			want          string
		}{
			"the only one went":  {pods{"a": "x"}, nil, "; 0 run"},
			"one of two went":    {pods{"a": "x", "b": "x"}, pods{"b": "x"}, "b-n1 x; 1 run"},
			"both went":          {pods{"a": "x", "b": "x"}, nil, "; 0 run"},
			"it changed":         {pods{"a": "x"}, pods{"a": "y"}, "a-n1 y; 1 run"},
			"another took over":  {pods{"a": "x"}, pods{"b": "x"}, "b-n1 x; 1 run"},
			"nothing has":        {pods{"a": "x"}, pods{"a": "x"}, "a-n1 x; 1 run"},
			"one came to be one": {nil, pods{"a": "x"}, "a-n1 x; 1 run"},
		} {
			t.Run(source+", "+name, func(t *testing.T) {
				t.Parallel()
				h, rt, m := newHub(t), runtime.NewFake(), open(t)
				m.set(t, c.before)
				_, stop := startStatic(t, h, rt, m)
				begin := map[int]string{0: "; 0 run", 1: "a-n1 x; 1 run", 2: "a-n1 x, b-n1 x; 2 run"}[len(c.before)]
				eventually(t, begin, func() string { return state(t, h, rt) })
				stop()
				m.set(t, c.after)
				startStatic(t, h, rt, m)
				eventually(t, c.want, func() string { return state(t, h, rt) })
			})
		}
	}
}

// TestStaticSourceThatDoesNotAnswer: what its pods are is not known, so that they run on and are shown.
func TestStaticSourceThatDoesNotAnswer(t *testing.T) {
	h, rt, m := newHub(t), runtime.NewFake(), served(t)
	m.set(t, map[string]string{"a": "x"})
	_, stop := startStatic(t, h, rt, m)
	eventually(t, "a-n1 x; 1 run", func() string { return state(t, h, rt) })
	stop()
	m.mu.Lock()
	m.off = true
	m.mu.Unlock()
	k, _ := startStatic(t, h, rt, m)
	<-k.pods.Synced()
	mirrors, removing := k.static.Mirrors().Count()
	adopted := k.roster.adopted()
	if got := state(t, h, rt); got != "a-n1 x; 1 run" || mirrors != 1 || removing != 0 || adopted {
		t.Errorf("%s; %d mirrors, %d being removed, adopted: %v", got, mirrors, removing, adopted)
	}
}
