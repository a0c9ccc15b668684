package hubtest

import (
	"context"
	"crypto"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	informers "sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/local"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/bootstrap"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Issuer is the issuer of the hub's service account tokens.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// Hub is what a test talks to: a hub's rooms, and what Boot writes.
type Hub struct {
	hub.Parts
	Kinds     *api.Kinds
	Bootstrap bootstrap.Config
	Root      client.Interface // system:apiserver
	TokenKey  crypto.Signer    // signs service accounts' tokens

	local local.Config
}

// New makes and starts a hub. It is empty: Boot fills in what a cluster has at first.
func New(t testing.TB) *Hub {
	t.Helper()
	key, err := pki.NewAuthority("sa") // an ECDSA key like the store's
	if err != nil {
		t.Fatal(err)
	}
	kinds, log := all.Kinds(), slog.New(slog.DiscardHandler)
	boot := bootstrap.Config{
		Advertise: netip.MustParseAddrPort("192.0.2.1:6443"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), DNS: true,
		ClientCA: []byte("ca"), ServerCA: []byte("ca"),
	}
	h, err := hub.New(hub.Config{
		Kinds: kinds, Store: memory.New(), Log: log, IssuerURL: Issuer, SigningKey: key.Key, ServiceCIDR: boot.ServiceCIDR,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() { _ = h.Run(ctx) })
	<-h.Ready()
	return &Hub{Parts: h.Parts(), Kinds: kinds, Bootstrap: boot, Root: h.Own(), TokenKey: key.Key, local: local.Config{Catalog: h.Catalog(), Verbs: h.Parts().Verbs, Log: log}}
}

// As returns a door for user.
func (h *Hub) As(user api.User) client.Interface { return local.New(h.local, user, "hubtest") }

// From returns a door for user as if it came over the network from ADDRESS:PORT.
func (h *Hub) From(user api.User, remote string) client.Interface {
	c := h.local
	c.Remote = remote
	return local.New(c, user, "hubtest")
}

// Boot writes the bootstrap objects and the default service accounts of their namespaces, and waits until the roles count.
func (h *Hub) Boot(t testing.TB) {
	t.Helper()
	ctx := t.Context()
	if err := bootstrap.Ensure(ctx, h.Root, h.Bootstrap); err != nil {
		t.Fatal(err)
	}
	for _, ns := range []string{"default", "kube-system"} {
		sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default"}}
		if _, err := client.Create(ctx, h.Root, client.ServiceAccounts, sa); err != nil {
			t.Fatal(err)
		}
	}
	h.Settle(t)
}

// Settle waits until the authorizer knows every role and binding, and every pod, that is stored now.
func (h *Hub) Settle(t testing.TB) {
	t.Helper()
	Eventually(t, func() bool {
		l, err := h.Root.List(t.Context(), client.Ref{Resource: client.Pods}, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		pods := informers.For[*corev1.Pod](h.Informers, client.Pods, informers.Options{})
		told, err := authz.Told(t.Context(), h.Informers, h.Root)
		if err != nil {
			t.Fatal(err)
		}
		return pods.Len() == len(l.Items) && pods.Told() == pods.Revision() && told
	})
}

// Eventually waits a few seconds for cond.
func Eventually(t testing.TB, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never happened")
		}
	}
}
