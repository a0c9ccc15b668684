package clienttest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/clienttest"
	"sampan.dev/internal/client/lease"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/etcd"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/pki"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// cluster is a hub over the memory store that serves on loopback.
type cluster struct {
	hub  *hub.Hub
	addr string
	ca   *pki.Authority
}

func start(t *testing.T, st store.Store) *cluster {
	t.Helper()
	ca, err := pki.NewAuthority("ca")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(pki.Request{
		CommonName: "hub", IPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Server: true, Life: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Config{
		Kinds: all.Kinds(), Store: st, Log: slog.New(slog.DiscardHandler),
		Listener: l, TLS: &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequestClientCert}, ClientCA: func() *x509.CertPool { return ca.Pool() },
		Bootstrap: true, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && ctx.Err() == nil {
			t.Errorf("hub: %v", err)
		}
		st.Close()
	})
	select {
	case <-h.Ready():
	case err := <-done:
		t.Fatalf("hub: %v", err)
	}
	return &cluster{h, l.Addr().String(), ca}
}

// used is st after a few writes, which a hub that is started now knows nothing of.
func used(t *testing.T, st store.Store) store.Store {
	t.Helper()
	for n := range 3 {
		if _, err := st.Create(t.Context(), fmt.Sprint("/before/", n), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

// config is that of an administrator with a certificate.
func (c *cluster) config(t *testing.T) *rest.Config {
	t.Helper()
	cert, err := c.ca.Issue(pki.Request{
		CommonName: "admin", Organization: []string{api.GroupMasters}, Client: true, Life: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := pki.NewPair(cert).PEM()
	if err != nil {
		t.Fatal(err)
	}
	return &rest.Config{Host: "https://" + c.addr, TLSClientConfig: rest.TLSClientConfig{CAData: c.ca.PEM(), CertData: certPEM, KeyData: keyPEM}}
}

func (c *cluster) local() client.Interface {
	return c.hub.Door(api.User{Name: "admin", Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "clienttest")
}

func (c *cluster) remote(t *testing.T) client.Interface {
	t.Helper()
	factory, err := remote.Factory(c.config(t))
	if err != nil {
		t.Fatal(err)
	}
	return factory(api.User{}, "clienttest")
}

func TestLocalDoor(t *testing.T) {
	t.Parallel()
	door := start(t, used(t, memory.New())).local()
	clienttest.Run(t, func(t *testing.T) client.Interface { return door })
}

func TestRemoteDoorOverEtcd(t *testing.T) {
	t.Parallel()
	st, err := etcd.Embedded(t.Context(), etcd.EmbeddedConfig{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	door := start(t, used(t, st)).remote(t)
	clienttest.Run(t, func(t *testing.T) client.Interface { return door })
}

// TestInformers has informers over both doors follow the same writes, and compares them with a list in the end.
func TestInformers(t *testing.T) {
	t.Parallel()
	c := start(t, memory.New())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	defer func() { cancel(); running.Wait() }()
	doors := map[string]client.Interface{"local": c.local(), "remote": c.remote(t)}
	views := map[string]*cache.Informer[*corev1.ConfigMap]{}
	for name, door := range doors {
		i := cache.New[*corev1.ConfigMap](door, client.ConfigMaps, cache.Options{Namespace: "default"}, slog.New(slog.DiscardHandler))
		views[name] = i
		running.Go(func() { i.Run(ctx) })
	}
	for w := range 3 {
		running.Go(func() {
			for n := range 60 {
				door, name := doors["local"], fmt.Sprintf("c-%d-%d", w, n%10)
				if n%2 == 1 {
					door = doors["remote"]
				}
				m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
				_, err := client.Create(ctx, door, client.ConfigMaps, m)
				if apierrors.IsAlreadyExists(err) {
					if n%7 == 0 {
						err = client.Delete(ctx, door, client.ConfigMaps, "default", name, "")
					} else {
						m.Data = map[string]string{"n": fmt.Sprint(n)}
						_, err = client.Update(ctx, door, client.ConfigMaps, m)
					}
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("done-%d", w)}}
			if _, err := client.Create(ctx, doors["local"], client.ConfigMaps, m); err != nil {
				t.Error(err)
			}
		})
	}
	for name, i := range views {
		for w := range 3 {
			for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) {
				if _, ok := i.Get("default", fmt.Sprintf("done-%d", w)); ok {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s: the end was not seen", name)
				}
			}
		}
		all, err := client.ListAll[*corev1.ConfigMap](ctx, doors[name], client.ConfigMaps, "default", metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if i.Len() != len(all) {
			t.Errorf("%s: %d objects, the hub has %d", name, i.Len(), len(all))
		}
		for _, want := range all {
			got, ok := i.Get("default", want.Name)
			if !ok || got.ResourceVersion != want.ResourceVersion || got.UID != want.UID || got.Kind != "ConfigMap" {
				t.Errorf("%s: %s at %s, want %s", name, want.Name, got.GetResourceVersion(), want.ResourceVersion)
			}
			if name == "local" && got != want {
				t.Errorf("the local view of %s is a copy", want.Name)
			}
		}
	}
}

// TestElection has a candidate behind each door stand for one lease.
func TestElection(t *testing.T) {
	t.Parallel()
	c := start(t, memory.New())
	leads := make(chan string, 10)
	ended := make(chan error, 2)
	stops := map[string]context.CancelFunc{}
	for name, door := range map[string]client.Interface{"local": c.local(), "remote": c.remote(t)} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		stops[name] = cancel
		cfg := lease.Config{Door: door, Name: "test", Identity: name, Retry: 100 * time.Millisecond, Log: slog.New(slog.DiscardHandler)}
		go func() {
			ended <- lease.Run(ctx, cfg, func(ctx context.Context) error {
				leads <- name
				<-ctx.Done()
				return nil
			})
		}()
	}
	first := <-leads
	select {
	case second := <-leads:
		t.Fatalf("%s and %s lead at once", first, second)
	case <-time.After(500 * time.Millisecond):
	}
	stops[first]()
	second := <-leads
	l, err := client.Get[*coordinationv1.Lease](t.Context(), c.local(), client.Leases, "kube-system", "test")
	if err != nil || second == first || *l.Spec.HolderIdentity != second || *l.Spec.LeaseTransitions != 1 {
		t.Errorf("after the change: %+v %v", l, err)
	}
	stops[second]()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}
