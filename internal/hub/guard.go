package hub

import (
	"crypto"
	"fmt"
	"net/netip"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/alloc"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authn/jwt"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/bootstrap"
	"sampan.dev/internal/hub/review"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/pki"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// guard is what stands between a request and the state: who it is from, whether it may, and what becomes of it first. Its
// parts read through the hub's own client.
type guard struct {
	authn    authn.Authenticator
	authz    authz.Authorizer
	chain    *authz.Chain // that authz is; nil when something stands in for it
	admit    admit.Chain
	hooks    map[schema.GroupResource]verb.Hook
	services *alloc.Services // among the hooks; nil without a service range
	handlers map[string]verb.Handler

	keys   *authn.Keys        // of service account tokens; nil without a signing key, like the two below
	tokens *authn.Tokens      // verifies them
	issuer *authn.Issuer      // signs them
	others *jwt.Authenticator // of other issuers' tokens; nil: none
}

// newGuard makes the parts.
func (h *Hub) newGuard() (guard, error) {
	cfg := &h.cfg
	g := guard{authn: cfg.Authenticator, authz: cfg.Authorizer, hooks: map[schema.GroupResource]verb.Hook{}, handlers: map[string]verb.Handler{}}
	if g.authz == nil {
		var err error
		g.chain, err = authz.New(authz.Config{Informers: h.set, Door: h.own, NodeRules: bootstrap.NodeRules(), Settings: cfg.Authorization})
		if err != nil {
			return g, fmt.Errorf("hub: authorization: %w", err)
		}
		g.authz = g.chain
	}
	if !cfg.NoAdmission {
		var err error
		if g.admit, err = h.newAdmission(&g); err != nil {
			return g, fmt.Errorf("hub: %w", err)
		}
	}
	if cfg.ServiceCIDR.IsValid() && cfg.Kinds.Resource(client.Services) != nil {
		ac := alloc.Config{CIDRs: []netip.Prefix{cfg.ServiceCIDR}, FirstPort: int32(cfg.NodePorts.Low), LastPort: int32(cfg.NodePorts.High), Informers: h.set, Log: h.log}
		if cfg.Kinds.Resource(client.IPAddresses) != nil && cfg.Kinds.Resource(client.ServiceCIDRs) != nil {
			ac.Door = h.own
		}
		if cfg.Shared {
			ac.Ports = cfg.Store
		}
		g.services = alloc.New(ac)
		g.hooks[client.Services.GroupResource()] = g.services
		g.hooks[client.IPAddresses.GroupResource()] = g.services.Objects()
	}
	if err := h.newTokens(&g); err != nil {
		return g, err
	}
	if g.authn == nil {
		var err error
		g.authn, err = authn.New(authn.Config{
			ClientCA: cfg.ClientCA, FrontProxyCA: cfg.FrontProxyCA, FrontProxyNames: cfg.FrontProxyNames, FrontHeaders: cfg.FrontHeaders,
			Tokens: g.tokens, Anonymous: cfg.Anonymous, Refused: []string{pki.KubeletClientName},
		})
		if err != nil {
			return g, fmt.Errorf("hub: authentication: %w", err)
		}
	}
	for key, handler := range review.Handlers(review.Config{Authorizer: g.authz, Rules: g.chain, Tokens: g.tokens, Issuer: g.issuer, Door: h.own}) {
		g.handlers[key] = handler
	}
	for key, handler := range cfg.Handlers {
		g.handlers[key] = handler
	}
	return g, nil
}

func (h *Hub) newAdmission(g *guard) (admit.Chain, error) {
	cfg := &h.cfg
	ac := admit.Config{
		Door: h.own, Authorizer: g.authz, NotReadySeconds: cfg.NotReadySeconds, UnreachableSeconds: cfg.UnreachableSeconds,
		DenyExternalIPs: cfg.DenyExternalIPs, Disable: cfg.DisableAdmission, Enable: cfg.EnableAdmission, Settings: cfg.Admission,
	}
	var err error
	if h.outside, err = h.newOutside(g); err != nil {
		return admit.Chain{}, err
	}
	ac.Outside = h.outside.plugins()
	if g.chain != nil {
		ac.RBAC = g.chain.RBAC
	} else {
		ac.RBAC = authz.NewRBAC(h.set)
	}
	return admit.New(ac), nil
}

// newTokens makes what signs and verifies service account tokens, if there is a signing key.
func (h *Hub) newTokens(g *guard) error {
	cfg := &h.cfg
	if cfg.SigningKey == nil {
		return nil
	}
	own := cfg.SigningKey.Public()
	keys := []crypto.PublicKey{own}
	for _, k := range cfg.VerifyKeys {
		if eq, ok := own.(interface{ Equal(crypto.PublicKey) bool }); !ok || !eq.Equal(k) {
			keys = append(keys, k)
		}
	}
	var err error
	if g.keys, err = authn.NewKeys(keys); err != nil {
		return fmt.Errorf("hub: token keys: %w", err)
	}
	if g.issuer, err = authn.NewIssuer(cfg.IssuerURL, cfg.SigningKey); err != nil {
		return fmt.Errorf("hub: token issuer: %w", err)
	}
	outsiders := cfg.Outsiders
	if cfg.JWT != nil {
		if g.others, err = jwt.New(cfg.JWT, h.log); err != nil {
			return fmt.Errorf("hub: authentication: %w", err)
		}
		outsiders.JWT = g.others
	}
	g.tokens = authn.NewTokens(authn.TokenConfig{
		Issuers: append([]string{cfg.IssuerURL}, cfg.FormerIssuers...), Keys: g.keys, Audiences: cfg.Audiences, Door: h.own, Outsiders: outsiders,
	})
	return nil
}
