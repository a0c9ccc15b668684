package kubelet

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// real is a kubelet with a containerd of its own and a hub without a server.
type real struct {
	hub  *hub.Hub
	root client.Interface
	cri  *runtime.CRI
	cfg  Config
	stop func()
}

const busybox = "registry.k8s.io/e2e-test-images/busybox:1.37.0-2"

// newReal starts one, or skips the test. Pods need hostNetwork: there is no pod network.
func newReal(t *testing.T) *real {
	t.Helper()
	bin, _ := filepath.Abs("../../../bin")
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	for _, f := range []string{"containerd", "containerd-shim-runc-v2", "runc", "pause.tar", "busybox.tar"} {
		if _, err := os.Stat(filepath.Join(bin, f)); err != nil {
			t.Skipf("needs bin/%s", f)
		}
	}
	root, err := os.MkdirTemp("", "sampan-klt-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctd := &runtime.Containerd{
		Bin: filepath.Join(bin, "containerd"), Runc: filepath.Join(bin, "runc"),
		Root: filepath.Join(root, "c"), State: filepath.Join(root, "s"), NetNSDir: true,
		PauseImage: "sampan.dev/pause:1", PauseTar: filepath.Join(bin, "pause.tar"),
		CNIBinDirs: []string{filepath.Join(root, "cni")}, CNIConfDir: filepath.Join(root, "cni"), Log: log,
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- ctd.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-ready:
	case err := <-done:
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(bin, "busybox.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := runtime.ImportImage(ctx, ctd.Endpoint(), "k8s.io", f); err != nil {
		t.Fatal(err)
	}
	cri, err := runtime.Dial(ctd.Endpoint(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cri.Close() })
	r := &real{hub: newHub(t), cri: cri}
	r.root = r.hub.Own()
	door := r.hub.Door(api.Node("n1"), "kubelet")
	set := cache.NewSet(door, log)
	services := cache.For[*corev1.Service](set, client.Services, cache.Options{})
	sctx, scancel := context.WithCancel(context.Background())
	sdone := make(chan struct{})
	go func() { set.Run(sctx); close(sdone) }()
	t.Cleanup(func() { scancel(); <-sdone })
	r.cfg = Config{
		NodeName: "n1", RootDir: filepath.Join(root, "k"), LogDir: filepath.Join(root, "logs"), ContainerLogs: filepath.Join(root, "clogs"),
		Runtime: cri, Door: door, Services: services, Log: log, Register: true, ClusterDNS: []string{"10.96.0.10"},
		CgroupRoot: "/sampan-test-" + filepath.Base(root), EvictionHard: map[string]string{},
	}
	t.Cleanup(func() {
		pods, _ := cri.List(context.Background())
		for _, p := range pods {
			for _, s := range p.Sandboxes {
				cri.StopSandbox(context.Background(), s.ID)
				cri.RemoveSandbox(context.Background(), s.ID)
			}
		}
	})
	r.start(t)
	return r
}

// newHub runs a hub over the memory store, with what a controller would make of the default namespace.
func newHub(t *testing.T) *hub.Hub {
	t.Helper()
	key, err := pki.NewAuthority("sa")
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Config{
		Kinds: all.Kinds(), Store: memory.New(), Log: slog.New(slog.DiscardHandler), Bootstrap: true, DNS: true,
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
		IssuerURL: "https://kubernetes.default.svc.cluster.local", SigningKey: key.Key,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-h.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}
	if _, err := client.Create(t.Context(), h.Own(), client.ServiceAccounts, sa); err != nil {
		t.Fatal(err)
	}
	ca := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kube-root-ca.crt"}, Data: map[string]string{"ca.crt": "x"}}
	if _, err := client.Create(t.Context(), h.Own(), client.ConfigMaps, ca); err != nil {
		t.Fatal(err)
	}
	return h
}

func (r *real) start(t *testing.T) {
	k, err := New(r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { k.Run(ctx); close(done) }()
	r.stop = func() { cancel(); <-done }
	t.Cleanup(r.stop)
	t.Cleanup(func() {
		if err := k.cgroups.RemoveAll(); err != nil {
			t.Error(err)
		}
		for _, dir := range []string{"/sys/fs/cgroup" + r.cfg.CgroupRoot} {
			os.Remove(dir)
		}
		v1, _ := filepath.Glob("/sys/fs/cgroup/*" + r.cfg.CgroupRoot)
		for _, dir := range v1 {
			os.Remove(dir)
		}
	})
}

func (r *real) pod(name string, cmd ...string) *corev1.Pod {
	grace := int64(5)
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: corev1.PodSpec{
		NodeName: "n1", HostNetwork: true, TerminationGracePeriodSeconds: &grace,
		Containers: []corev1.Container{{Name: "c", Image: busybox, Command: cmd}},
	}}
}

// wait returns the pod once it satisfies cond.
func (r *real) wait(t *testing.T, name string, what string, cond func(*corev1.Pod) bool) *corev1.Pod {
	t.Helper()
	begin := time.Now()
	var last *corev1.Pod
	for time.Since(begin) < 20*time.Second {
		p, err := client.Get[*corev1.Pod](t.Context(), r.root, client.Pods, "default", name)
		if err != nil {
			p = nil
		}
		last = p
		if cond(p) {
			t.Logf("%s %s after %v", name, what, time.Since(begin).Round(time.Millisecond))
			return p
		}
		time.Sleep(5 * time.Millisecond)
	}
	if last != nil {
		b, _ := api.EncodeJSON(last)
		t.Logf("%s", b)
	}
	t.Fatalf("%s is not %s", name, what)
	return nil
}

func TestRealPod(t *testing.T) {
	r := newReal(t)
	ctx := t.Context()
	if _, err := client.Create(ctx, r.root, client.Pods, r.pod("a", "sleep", "1000")); err != nil {
		t.Fatal(err)
	}
	p := r.wait(t, "a", "ready", func(p *corev1.Pod) bool {
		if p == nil {
			return false
		}
		c := findCondition(p.Status.Conditions, corev1.PodReady)
		return c != nil && c.Status == corev1.ConditionTrue
	})
	b, _ := api.EncodeJSON(p)
	t.Logf("%s", b)
	if err := client.Delete(ctx, r.root, client.Pods, "default", "a", ""); err != nil {
		t.Fatal(err)
	}
	r.wait(t, "a", "gone", func(p *corev1.Pod) bool { return p == nil })
}
