package hub

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/lease"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/webhook"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authn/jwt"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/encrypt"
	"sampan.dev/internal/hub/health"
	"sampan.dev/internal/hub/rest"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/sealed"
	"sampan.dev/internal/hub/verb"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a hub is made of. Kinds, Store and Log are needed; everything else has a use when it is zero.
type Config struct {
	Kinds *api.Kinds
	Store store.Store
	Log   *slog.Logger

	// Apart has the stores of kinds that are not in Store, by the prefix of their keys ("/registry/events/"). A store of its
	// own has revisions of its own, as with upstream's --etcd-servers-overrides.
	Apart map[string]store.Store

	// Encryption says which values are encrypted in the stores; nil: none. KeyRoot is what keys begin with in etcd ("" is /registry),
	// which ciphertexts are bound to.
	Encryption *encrypt.Config
	KeyRoot    string
	// Shared says that other API servers have the same store.
	Shared bool

	// Listener and TLS serve HTTPS in Run; with a nil Listener there are only Handler and doors. Run closes it.
	Listener net.Listener
	TLS      *tls.Config

	// Who is believed.
	ClientCA        func() *x509.CertPool // nil: no client certificates
	FrontProxyCA    func() *x509.CertPool // nil: no front proxy
	FrontProxyNames []string
	FrontHeaders    authn.FrontHeaders
	JWT             *jwt.Settings   // other issuers of tokens; nil: none
	Outsiders       authn.Outsiders // others still who vouch for tokens; its JWT is set by the hub
	FormerIssuers   []string        // of service account tokens, beside IssuerURL
	Anonymous       authn.AnonymousAccess
	IssuerURL       string   // of service account tokens
	Audiences       []string // of this server; nil: the issuer
	SigningKey      crypto.Signer
	VerifyKeys      []crypto.PublicKey // further keys that tokens may be signed with

	// Authorization says who decides what callers may do; nil: Node, then RBAC.
	Authorization *authz.Settings

	// Authenticator and Authorizer stand in for the hub's own, which are made of what is above, and of Node and RBAC (tests).
	Authenticator authn.Authenticator
	Authorizer    authz.Authorizer

	// NoAdmission leaves the admission plugins out (tests of the hub itself).
	NoAdmission bool
	// NotReadySeconds and UnreachableSeconds are the default tolerations of pods; zero means 300.
	NotReadySeconds, UnreachableSeconds int64
	DisableAdmission                    map[string]bool
	EnableAdmission                     map[string]bool // plugins that are off by default
	DenyExternalIPs                     bool
	Webhooks                            webhook.Askers
	Egress                              *egress.Dialer // makes connections to webhooks; nil: one that keeps away from Listener
	Admission                           admit.Settings // of single plugins

	// Bootstrap writes the system's own objects and keeps the Service kubernetes.
	Bootstrap   bool
	Advertise   netip.AddrPort
	Moved       <-chan netip.AddrPort // where it is reached from then on; nil when that never changes
	ServiceCIDR netip.Prefix
	NodePorts   PortRange // zero: 30000-32767
	DNS         bool      // make the Service kube-dns
	ClientCAPEM []byte    // published for extension servers
	FrontCAPEM  []byte
	ServerCAPEM []byte // published in cluster-info

	Leases  *lease.Audience // is told who looks at leases over the network; nil: nobody cares
	Audit   *audit.Log      // nil: nothing is recorded
	Connect rest.Connector  // nil: no streams

	// Dial makes every connection to other API servers, see hub/egress; nil: it keeps away from what no cluster has. ProxyClient shows
	// them that the hub may say who asks.
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	ProxyClient func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
	// ReadKubelet returns what the kubelet of a node serves at a path; with it metrics.k8s.io is served.
	ReadKubelet func(ctx context.Context, node, path string) ([]byte, error)

	OpenAPI http.Handler // stands in for the documents of what is served (tests)
	Version Version

	// How many requests may be under way; zero is upstream's figure, negative any number.
	MaxReads, MaxWrites int
	// NoFairness has the two limits alone decide what is refused, without priority levels and queues.
	NoFairness bool
	// Memory is how many bytes the process may use; what there is no memory for is refused. Zero: not known.
	Memory int64

	// Handlers and Hooks join those of the hub.
	Handlers map[string]verb.Handler

	// Debug serves further paths below /debug/, to whom authorization lets: "/debug/controllers" of whoever runs beside the hub.
	Debug map[string]http.Handler

	// Components ask how parts of the control plane in this process are, by the names that ComponentStatuses have
	// ("controller-manager", "scheduler"); ok is false for one that does not run here, which is looked for at its port.
	Components func(name string) (err error, ok bool)

	// Collectors are served by /metrics beside the hub's own.
	Collectors []prometheus.Collector
	// Checks are asked, beside the hub's own, by /readyz and /livez.
	Checks []Check
}

// Check is one health check, see hub/health.
type Check = health.Check

// under is the limit that a number of Config means.
func under(n, otherwise int) int64 {
	if n == 0 {
		n = otherwise
	}
	return int64(max(0, n))
}

// PortRange is a range of ports, both ends included.
type PortRange struct{ Low, High int }

// Validate says what is missing.
func (c *Config) Validate() error {
	switch {
	case c.Kinds == nil:
		return errors.New("hub: no kinds")
	case c.Store == nil:
		return errors.New("hub: no store")
	case c.Log == nil:
		return errors.New("hub: no logger")
	case c.Listener != nil && c.TLS == nil:
		return errors.New("hub: a listener needs a TLS configuration")
	case c.Bootstrap && !c.ServiceCIDR.IsValid():
		return errors.New("hub: the system's services need a service CIDR")
	}
	return nil
}

// below is which store has the objects of a kind, encrypted or not.
func (c *Config) below(kind *api.Kind) store.Store {
	if apart := c.Apart[kind.StoragePrefix()]; apart != nil {
		return apart
	}
	return c.Store
}

// storeOf is where the objects of kind are kept, as those see it who read and write values.
func (c *Config) storeOf(kind *api.Kind) store.Store {
	st := c.below(kind)
	if c.Encryption != nil {
		if s := c.Encryption.Sealer(kind.GR(), c.KeyRoot); s != nil {
			return sealed.New(st, s)
		}
	}
	return st
}

// stores are all of them, each once.
func (c *Config) stores() []store.Store {
	out := []store.Store{c.Store}
	for _, st := range c.Apart {
		if !slices.Contains(out, st) {
			out = append(out, st)
		}
	}
	return out
}

// advertised is the address clients are told.
func advertised(cfg *Config) string {
	switch {
	case cfg.Advertise.IsValid():
		return cfg.Advertise.String()
	case cfg.Listener != nil:
		return cfg.Listener.Addr().String()
	}
	return ""
}

// storesAnswer asks every store whether it answers.
func (c *Config) storesAnswer(ctx context.Context) error {
	for _, st := range c.stores() {
		if _, err := st.Revision(ctx, ""); err != nil {
			return err
		}
	}
	return nil
}
