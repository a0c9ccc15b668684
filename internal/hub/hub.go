package hub

import (
	"context"
	"crypto"
	"fmt"
	"log/slog"
	"net/netip"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	informers "sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/local"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/alloc"
	"sampan.dev/internal/hub/apply"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/bootstrap"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/flow"
	"sampan.dev/internal/hub/openapi"
	"sampan.dev/internal/hub/review"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/pki"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"golang.org/x/sync/errgroup"
)

// Hub is an API server. Make one with New, then Run it; Handler and doors may be used once it runs.
type Hub struct {
	cfg    Config
	log    *slog.Logger
	caches []*cache.Cache
	verbs  *verb.Engine
	own    client.Interface // system:apiserver's door
	set    *informers.Set   // what authorization and admission read

	authn authn.Authenticator
	authz authz.Authorizer
	chain admit.Chain
	keys  *authn.Keys

	docs    *documents
	metrics *metrics
	gate    flow.Gate
	memory  *flow.Memory
	checks  checks

	ready    chan struct{} // closed when everything is loaded and bootstrapped
	stopping context.Context
	stop     context.CancelFunc // watches end when the server shuts down
}

// New puts a hub together. Nothing runs before Run.
func New(cfg Config) (*Hub, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Audit == nil {
		cfg.Audit = audit.Discard{}
	}
	cfg.Version = cfg.Version.withDefaults()
	h := &Hub{cfg: cfg, log: cfg.Log.With("component", "hub"), ready: make(chan struct{})}
	h.gate.Reads.Limit, h.gate.Writes.Limit = under(cfg.MaxReads, flow.DefaultReads), under(cfg.MaxWrites, flow.DefaultWrites)
	h.memory = flow.NewMemory(cfg.Memory)
	h.stopping, h.stop = context.WithCancel(context.Background())
	if cfg.OpenAPI == nil {
		h.cfg.OpenAPI = openapi.New(openapi.Config{Kinds: cfg.Kinds, Version: cfg.Version.Git})
	}
	byResource := h.makeCaches()
	hooks := map[schema.GroupResource]verb.Hook{}
	handlers := map[string]verb.Handler{}
	h.verbs = verb.New(verb.Config{
		Kinds: cfg.Kinds, Caches: byResource, Log: h.log,
		Admit: h.admission, Authorizer: func() authz.Authorizer { return h.authz },
		Patches: apply.New(openapi.Types), Hooks: hooks, Handlers: handlers,
	})
	h.own = h.Door(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "kube-apiserver/"+cfg.Version.Git)
	h.set = informers.NewSet(h.own, h.log)
	if err := h.join(hooks, handlers); err != nil {
		return nil, err
	}
	for key, handler := range cfg.Handlers {
		handlers[key] = handler
	}
	h.docs = newDocuments(cfg.Kinds, advertised(cfg))
	h.metrics = newMetrics(h)
	h.checks = h.healthChecks()
	return h, nil
}

func (h *Hub) makeCaches() map[schema.GroupVersionResource]*cache.Cache {
	out := map[schema.GroupVersionResource]*cache.Cache{}
	bounds := cache.NewBounds(h.cfg.Memory)
	for _, k := range h.cfg.Kinds.All() {
		if k.Virtual || k.View != nil {
			continue
		}
		c := cache.New(k, h.cfg.storeOf(k), bounds, h.log)
		h.caches = append(h.caches, c)
		out[k.GVR()] = c
	}
	return out
}

// join makes the stages that read through the hub's own door.
func (h *Hub) join(hooks map[schema.GroupResource]verb.Hook, handlers map[string]verb.Handler) error {
	cfg := &h.cfg
	var chain *authz.Chain
	h.authz = cfg.Authorizer
	if h.authz == nil {
		chain = authz.New(authz.Config{Informers: h.set, NodeRules: bootstrap.NodeRules()})
		h.authz = chain
	}
	if !cfg.NoAdmission {
		ac := admit.Config{
			Door: h.own, Authorizer: h.authz, NotReadySeconds: cfg.NotReadySeconds, UnreachableSeconds: cfg.UnreachableSeconds,
			DenyExternalIPs: cfg.DenyExternalIPs, Disable: cfg.DisableAdmission,
		}
		if chain != nil {
			ac.RBAC = chain.RBAC
		} else {
			ac.RBAC = authz.NewRBAC(h.set)
		}
		h.chain = admit.New(ac)
	}
	if cfg.ServiceCIDR.IsValid() && cfg.Kinds.Resource(client.Services) != nil {
		hooks[client.Services.GroupResource()] = alloc.New(alloc.Config{
			CIDRs: []netip.Prefix{cfg.ServiceCIDR}, FirstPort: int32(cfg.NodePorts.Low), LastPort: int32(cfg.NodePorts.High), Informers: h.set,
		})
	}
	tokens, issuer, err := h.tokens()
	if err != nil {
		return err
	}
	h.authn, err = authn.New(authn.Config{
		ClientCA: cfg.ClientCA, FrontProxyCA: cfg.FrontProxyCA, FrontProxyNames: cfg.FrontProxyNames,
		Tokens: tokens, Anonymous: cfg.Anonymous, Refused: []string{pki.KubeletClientName},
	})
	if err != nil {
		return fmt.Errorf("hub: authentication: %w", err)
	}
	for key, handler := range review.Handlers(review.Config{Authorizer: h.authz, Rules: chain, Tokens: tokens, Issuer: issuer, Door: h.own}) {
		handlers[key] = handler
	}
	return nil
}

// tokens makes what signs and verifies service account tokens; nil without a signing key.
func (h *Hub) tokens() (*authn.Tokens, *authn.Issuer, error) {
	cfg := &h.cfg
	if cfg.SigningKey == nil {
		return nil, nil, nil
	}
	own := cfg.SigningKey.Public()
	keys := []crypto.PublicKey{own}
	for _, k := range cfg.VerifyKeys {
		if eq, ok := own.(interface{ Equal(crypto.PublicKey) bool }); !ok || !eq.Equal(k) {
			keys = append(keys, k)
		}
	}
	var err error
	if h.keys, err = authn.NewKeys(keys); err != nil {
		return nil, nil, fmt.Errorf("hub: token keys: %w", err)
	}
	issuer, err := authn.NewIssuer(cfg.IssuerURL, cfg.SigningKey)
	if err != nil {
		return nil, nil, fmt.Errorf("hub: token issuer: %w", err)
	}
	t := authn.NewTokens(authn.TokenConfig{Issuers: []string{cfg.IssuerURL}, Keys: h.keys, Audiences: cfg.Audiences, Door: h.own})
	return t, issuer, nil
}

func (h *Hub) admission() admit.Chain             { return h.chain }
func (h *Hub) authenticator() authn.Authenticator { return h.authn }

// Door makes a door in process for an identity; it is a client.Factory.
func (h *Hub) Door(user api.User, userAgent string) client.Interface {
	return local.New(local.Config{
		Kinds: h.cfg.Kinds, Verbs: h.verbs, Audit: h.cfg.Audit, Log: h.log,
		WhenEnded: func(f func()) func() bool { return context.AfterFunc(h.stopping, f) },
	}, user, userAgent)
}

// Own is the hub's own door: system:apiserver, which may do everything.
func (h *Hub) Own() client.Interface { return h.own }

// Ready is closed when every cache is loaded, the informers of authorization have synced and the system's own objects are
// there.
func (h *Hub) Ready() <-chan struct{} { return h.ready }

// Run feeds the caches, writes what a cluster has before anyone has written, and serves until ctx ends. The server stops
// first: requests that are under way still find their caches fed.
func (h *Hub) Run(ctx context.Context) error {
	parts, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer h.stop()
	g, parts := errgroup.WithContext(parts)
	for _, c := range h.caches {
		g.Go(func() error { return h.ended(parts, "watch cache of "+c.Kind().Resource, c.Run(parts)) })
	}
	g.Go(func() error { return h.ended(parts, "informers", h.set.Run(parts)) })
	g.Go(func() error { return h.start(parts) })
	for _, st := range h.cfg.stores() {
		g.Go(func() error {
			return h.ended(parts, "compaction", store.CompactEvery(parts, st, store.KeepHistory, h.log))
		})
	}
	g.Go(func() error {
		defer end()
		serving, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(parts, stop)()
		if h.cfg.Listener != nil {
			return h.listen(serving)
		}
		<-serving.Done()
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// ended makes an error of a part that returned before it was told to.
func (h *Hub) ended(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	if err == nil {
		return fmt.Errorf("hub: %s ended by itself", what)
	}
	return fmt.Errorf("hub: %s: %w", what, err)
}

// start waits for everything to be loaded, writes the system's objects, tells Ready and then keeps them.
func (h *Hub) start(ctx context.Context) error {
	for _, c := range h.caches {
		select {
		case <-c.Ready():
		case <-ctx.Done():
			return nil
		}
	}
	h.checks.caches.pass()
	if err := h.set.WaitSynced(ctx); err != nil {
		return h.ended(ctx, "informers", err)
	}
	h.checks.informers.pass()
	if h.cfg.Bootstrap {
		if err := bootstrap.Ensure(ctx, h.own, h.bootstrapConfig()); err != nil {
			return h.ended(ctx, "bootstrap", err)
		}
	}
	if h.cfg.Authorizer == nil {
		// Else the first requests of components may be refused, and they wait for seconds before they ask again.
		if err := authz.WaitTold(ctx, h.set, h.own); err != nil {
			return h.ended(ctx, "authorization", err)
		}
	}
	h.checks.bootstrap.pass()
	close(h.ready)
	h.log.Info("hub is ready", "kinds", len(h.caches))
	if !h.cfg.Bootstrap {
		return nil
	}
	return h.ended(ctx, "bootstrap", bootstrap.Run(ctx, h.own, h.bootstrapConfig(), h.log))
}

func (h *Hub) bootstrapConfig() bootstrap.Config {
	c := &h.cfg
	return bootstrap.Config{
		Advertise: c.Advertise, Moved: c.Moved, ServiceCIDR: c.ServiceCIDR, DNS: c.DNS,
		ClientCA: c.ClientCAPEM, FrontProxyCA: c.FrontCAPEM, FrontProxyNames: c.FrontProxyNames, ServerCA: c.ServerCAPEM,
	}
}

// advertised is the address clients are told.
func advertised(cfg Config) string {
	switch {
	case cfg.Advertise.IsValid():
		return cfg.Advertise.String()
	case cfg.Listener != nil:
		return cfg.Listener.Addr().String()
	}
	return ""
}
