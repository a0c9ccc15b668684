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
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/alloc"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/bootstrap"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/openapi"
	"sampan.dev/internal/hub/review"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Issuer is the issuer of the hub's service account tokens.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// Hub is what a test talks to.
type Hub struct {
	Kinds     *api.Kinds
	Engine    *verb.Engine
	Authz     *authz.Chain
	Tokens    *authn.Tokens
	Issuer    *authn.Issuer
	Informers *informers.Set
	Bootstrap bootstrap.Config
	Root      client.Interface // system:apiserver

	local local.Config
}

// New makes and starts a hub. It is empty: Boot fills in what a cluster has at first.
func New(t testing.TB) *Hub {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	log := slog.New(slog.DiscardHandler)
	h := &Hub{Kinds: all.Kinds()}
	st := memory.New()
	caches := map[schema.GroupVersionResource]*cache.Cache{}
	for _, k := range h.Kinds.All() {
		if k.Virtual || k.View != nil {
			continue
		}
		c := cache.New(k, st, nil, log)
		caches[k.GVR()] = c
		running.Go(func() { _ = c.Run(ctx) })
	}
	var chain admit.Chain
	var az authz.Authorizer
	handlers := map[string]verb.Handler{}
	hooks := map[schema.GroupResource]verb.Hook{}
	h.Engine = verb.New(verb.Config{
		Kinds: h.Kinds, Caches: caches, Hooks: hooks, Handlers: handlers, Log: log, Patches: apply.New(openapi.Types),
		Admit: func() admit.Chain { return chain }, Authorizer: func() authz.Authorizer { return az },
	})
	h.local = local.Config{Kinds: h.Kinds, Verbs: h.Engine, Log: log}
	h.Root = h.As(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}})
	h.Informers = informers.NewSet(h.Root, log)

	key, err := pki.NewAuthority("sa") // an ECDSA key like the store's
	if err != nil {
		t.Fatal(err)
	}
	if h.Issuer, err = authn.NewIssuer(Issuer, key.Key); err != nil {
		t.Fatal(err)
	}
	keys, err := authn.NewKeys([]crypto.PublicKey{key.Key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	h.Tokens = authn.NewTokens(authn.TokenConfig{Issuers: []string{Issuer}, Keys: keys, Door: h.Root})
	h.Authz = authz.New(authz.Config{Informers: h.Informers, NodeRules: bootstrap.NodeRules()})
	h.Bootstrap = bootstrap.Config{
		Advertise: netip.MustParseAddrPort("192.0.2.1:6443"), ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), DNS: true,
		ClientCA: []byte("ca"), ServerCA: []byte("ca"),
	}
	hooks[schema.GroupResource{Resource: "services"}] = alloc.New(alloc.Config{
		CIDRs: []netip.Prefix{h.Bootstrap.ServiceCIDR}, Informers: h.Informers,
	})
	for k, v := range review.Handlers(review.Config{Authorizer: h.Authz, Rules: h.Authz, Tokens: h.Tokens, Issuer: h.Issuer, Door: h.Root}) {
		handlers[k] = v
	}
	chain = admit.New(admit.Config{Door: h.Root, Authorizer: h.Authz, RBAC: h.Authz.RBAC})
	az = h.Authz
	running.Go(func() { _ = h.Informers.Run(ctx) })
	if err := h.Informers.WaitSynced(ctx); err != nil {
		t.Fatal(err)
	}
	return h
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
