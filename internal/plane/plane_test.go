package plane

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine/steps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// controlPlane starts one without a node and returns the listener below it.
func controlPlane(t *testing.T) (*daemon.Group, *Plane, net.Listener) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := suite.New()
	cfg.DataDir, cfg.Listen, cfg.NoNode, cfg.NodeName = t.TempDir(), l.Addr().String(), true, "here"
	cfg.ClusterCIDR, cfg.ServiceCIDR = "10.244.0.0/16", "10.96.0.0/16"
	ctx, cancel := context.WithCancel(context.Background())
	g := daemon.NewGroup(ctx, log)
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})
	if err := cfg.Check(); err != nil {
		t.Fatal(err)
	}
	p, err := Open(g, cfg, cfg.Paths(), l, &steps.Steps{}, log)
	if err == nil {
		err = p.Start(g, l, &steps.Steps{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return g, p, l
}

// A hub that fails is followed by another on the same port and the same state, and who holds a door finds it: informers go on,
// and no part of the process ends.
func TestAnotherHubFollowsOneThatFails(t *testing.T) {
	g, p, l := controlPlane(t)
	other := make(chan struct{})
	g.Go("other", func(ctx context.Context) error { defer close(other); <-ctx.Done(); return nil })
	door := p.Door(api.User{Name: "me", Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "test")
	set := cache.NewSet(door, slog.New(slog.DiscardHandler))
	seen := make(chan string, 10)
	cache.For[*corev1.ConfigMap](set, client.ConfigMaps, cache.Options{Namespace: "default"}).Handle(cache.Handler[*corev1.ConfigMap]{
		Add: func(m *corev1.ConfigMap) {
			if m.Name != "kube-root-ca.crt" {
				seen <- m.Name
			}
		},
	})
	g.Go("informers", set.Run)
	g.Settle()
	create := func(name string) error {
		_, err := client.Create(t.Context(), door, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}})
		return err
	}
	if err := create("before"); err != nil {
		t.Fatal(err)
	}
	if name := <-seen; name != "before" {
		t.Fatalf("the informer shows %q", name)
	}
	first := p.hub.Load()
	l.Close() // nothing can be accepted any more: the hub fails
	for p.hub.Load() == first || p.hub.Load() == nil || create("after") != nil {
		select {
		case <-g.Context().Done():
			t.Fatalf("the group has ended: %v", context.Cause(g.Context()))
		case <-time.After(time.Millisecond):
		}
	}
	if name := <-seen; name != "after" {
		t.Errorf("the informer shows %q", name)
	}
	if got, err := client.Get[*corev1.ConfigMap](t.Context(), door, client.ConfigMaps, "default", "before"); err != nil || got.Name != "before" {
		t.Errorf("what was written before: %v", err)
	}
	if err := p.parts.Check(t.Context()); err == nil {
		t.Error("the health check has nothing to tell")
	}
	select {
	case <-other:
		t.Error("another part has ended")
	default:
	}
	c, err := net.Dial("tcp", p.cfg.Listen)
	if err != nil {
		t.Fatalf("nobody listens where the first did: %v", err)
	}
	c.Close()
}
