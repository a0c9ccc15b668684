package identity

import (
	"crypto/x509"
	"net"
	"net/netip"
	"slices"
	"strings"

	"sampan.dev/internal/addr"
	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// ServingPolicy says which names and addresses no kubelet's serving certificate carries, whoever asks, and what is known of
// the node that runs on this very machine.
type ServingPolicy struct {
	// Hub is the hub's own serving certificate: what it names is nobody else's. Nil: nothing is known of it.
	Hub func() *x509.Certificate
	// Domain is the cluster's.
	Domain string
	// Never are the ranges of services and pods.
	Never []netip.Prefix
	// Local is the name of the node in this process, whose addresses may be the hub's, since they are one machine; "" if there
	// is none.
	Local    string
	LocalIPs func() []net.IP
	// Beside says that Local runs in another process of this machine. Its certificate shows who it is, as any node's does, and the
	// connection that it comes from here: from a loopback address or from one of LocalIPs.
	Beside bool
}

// served is what is known of the node that asks, none of it by the node's own word.
type served struct {
	node    string
	source  string   // the address that the request came from; "" for one that was made in this process
	granted []string // names and addresses that an administrator lets it have
}

func servedBy(node *corev1.Node, c *csr) served {
	s := served{node: node.Name}
	if from := c.Spec.Extra[api.ExtraSourceAddress]; len(from) == 1 {
		s.source = from[0]
	}
	for g := range strings.SplitSeq(node.Annotations[api.AnnotationServingNames], ",") {
		if g = strings.TrimSpace(g); g != "" {
			s.granted = append(s.granted, g)
		}
	}
	return s
}

// refuse returns why the names and addresses of a request are not proved to be the node's, or "". The node's name is proved by
// its client certificate and an address by the connection that the request came over. What the Node object says of addresses
// proves nothing: the node writes it.
func (p *ServingPolicy) refuse(s served, req *x509.CertificateRequest) string {
	local := p.Local != "" && s.node == p.Local && p.here(s.source)
	for _, name := range req.DNSNames {
		if name != s.node && !slices.Contains(s.granted, name) {
			return "the node has no name " + name
		}
		if why := p.reserved(name); why != "" && !(local && name == p.Local && plainName(name)) {
			return name + " is " + why
		}
	}
	for _, ip := range req.IPAddresses {
		a, ok := plainAddress(ip)
		if !ok {
			return "an address is not written plainly: " + net.IP(ip).String()
		}
		if local && p.LocalIPs != nil && slices.ContainsFunc(p.LocalIPs(), ip.Equal) && !p.ofServices(a) {
			continue
		}
		if why := p.reservedAddress(a); why != "" {
			return a.String() + " is " + why
		}
		if a.String() != s.source && !slices.Contains(s.granted, a.String()) {
			return "nothing shows that the node has the address " + a.String()
		}
	}
	return ""
}

// here tells whether a request that came from source was made where the node Local is.
func (p *ServingPolicy) here(source string) bool {
	if !p.Beside {
		return source == ""
	}
	ip := net.ParseIP(source)
	return ip != nil && (ip.IsLoopback() || p.LocalIPs != nil && slices.ContainsFunc(p.LocalIPs(), ip.Equal))
}

// reserved says why no node may be called name, or "".
func (p *ServingPolicy) reserved(name string) string {
	if !plainName(name) {
		return "not the plain name of a machine"
	}
	first, _, _ := strings.Cut(name, ".")
	switch {
	case name == "localhost" || strings.HasSuffix(name, ".localhost"):
		return "every machine's"
	case first == "kubernetes":
		return "the API server's"
	case strings.HasSuffix(name, ".svc") || strings.Contains(name, ".svc."):
		return "a service's"
	}
	if d := strings.ToLower(strings.Trim(p.Domain, ".")); d != "" && (name == d || strings.HasSuffix(name, "."+d)) {
		return "in the cluster's domain"
	}
	if hub := p.hub(); hub != nil && slices.ContainsFunc(hub.DNSNames, func(n string) bool {
		return strings.EqualFold(strings.TrimSuffix(n, "."), name)
	}) {
		return "the API server's"
	}
	return ""
}

// plainName tells whether a name is one that a resolver and a verifier of certificates read alike: lower case, no wildcard, no
// trailing dot, no internationalized label, no number at the end that some take for an address.
func plainName(name string) bool {
	return len(validation.IsDNS1123Subdomain(name)) == 0 && !strings.HasPrefix(name, "xn--") && !strings.Contains(name, ".xn--") && !addr.Numeric(name)
}

// reservedAddress says why no node may have an address, or "".
func (p *ServingPolicy) reservedAddress(a netip.Addr) string {
	if what := addr.Special(a); what != "" {
		return what
	}
	if p.ofServices(a) {
		return "in a range of the cluster's"
	}
	if hub := p.hub(); hub != nil && slices.ContainsFunc(hub.IPAddresses, net.IP(a.AsSlice()).Equal) {
		return "the API server's"
	}
	return ""
}

func (p *ServingPolicy) ofServices(a netip.Addr) bool {
	return slices.ContainsFunc(p.Never, func(r netip.Prefix) bool { return r.Contains(a) })
}

func (p *ServingPolicy) hub() *x509.Certificate {
	if p.Hub == nil {
		return nil
	}
	return p.Hub()
}

// plainAddress is an address of a request; a form that means an address of the other family is none.
func plainAddress(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip)
	return a, ok && !a.Is4In6()
}
