package plane

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/component/apiserver"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/connect"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/memlimit"
	"sampan.dev/internal/obs"
	"sampan.dev/internal/pki"
)

// admission is what the command line makes of the API server's admission.
func admission(cfg config.Config) (admit.Config, error) {
	var c admit.Config
	err := c.Select(cfg.EnableAdmission, cfg.DisableAdmission)
	return c, err
}

// startGC is the garbage collector's target while the API server starts, in percent of what is in use.
const startGC = 400

// Start opens keys and state and starts the API server on listener; it is ready when startHub returns.
func Start(g *daemon.Group, cfg config.Config, paths config.Paths, listener net.Listener, show *steps.Steps, log *slog.Logger) (*Plane, error) {
	// Most of what a start allocates stays, and the rest is soon garbage: to look for it at every doubling of the heap would be
	// a quarter of the work of reading a large state.
	defer debug.SetGCPercent(debug.SetGCPercent(startGC))
	since := time.Now()
	ip, err := advertised(cfg)
	if err != nil {
		return nil, fmt.Errorf("address of this machine: %w", err)
	}
	keys, err := openKeys(cfg, paths, ip, log)
	if err != nil {
		return nil, err
	}
	show.Done("keys and certificates", since, paths.PKI)

	p := &Plane{cfg: cfg, kinds: all.Kinds(), Pki: keys, log: log, trustKubelets: cfg.InsecureKubeletTLS, moved: make(chan netip.AddrPort, 1)}
	addr, _ := netip.AddrFromSlice(ip)
	port := listener.Addr().(*net.TCPAddr).Port
	at := netip.AddrPortFrom(addr.Unmap(), uint16(port))
	p.Advertise.Store(&at)
	p.parts = hub.Check{Name: "parts", Told: true, Check: g.Check}
	if cfg.KubeletCAFile != "" {
		if p.kubeletCA, err = Authorities(cfg.KubeletCAFile); err != nil {
			return nil, flag.Usage{Err: fmt.Errorf("--kubelet-certificate-authority: %w", err)}
		}
	}
	if cfg.AuditLog != "" {
		file, err := obs.OpenFile(cfg.AuditLog, false)
		if err != nil {
			return nil, fmt.Errorf("--audit-log-path: %w", err)
		}
		p.audit = audit.NewLines(file)
	}
	if err := p.start(g, listener, show); err != nil {
		return nil, err
	}
	g.Go("keys", keys.Run)
	return p, keys.EnsureKubeconfig(paths.Kubeconfig, pki.SuperAdmin, "https://"+localAddress(cfg, port), machine.ContextName(cfg))
}

func (p *Plane) hubConfig(st *state, listener net.Listener) hub.Config {
	cfg, log := p.cfg, p.log
	admitted, _ := admission(cfg)                                                    // checked with the other flags
	anonymous, _ := apiserver.Anonymous(cfg.AuthenticationConfig, cfg.AnonymousAuth) // checked with the flags
	c := hub.Config{
		Anonymous:       anonymous,
		Kinds:           p.kinds,
		Store:           st.main,
		Apart:           st.apart,
		Checks:          append(st.checks, p.parts),
		Log:             log.With("component", "hub"),
		Listener:        listener,
		TLS:             withAuthority(pki.ServerTLS(p.Pki.APIServer), p.Pki.CA.Cert),
		ClientCA:        func() *x509.CertPool { return p.Pki.CA.Pool() },
		FrontProxyCA:    func() *x509.CertPool { return p.Pki.FrontProxyCA.Pool() },
		FrontProxyNames: []string{"front-proxy-client"},
		IssuerURL:       "https://kubernetes.default.svc." + cfg.ClusterDomain,
		SigningKey:      p.Pki.SAKey,
		VerifyKeys:      p.Pki.SAPublic,
		Bootstrap:       true,
		Advertise:       *p.Advertise.Load(),
		Moved:           p.moved,
		ServiceCIDR:     netip.MustParsePrefix(cfg.ServiceCIDR),
		DNS:             true,
		ClientCAPEM:     p.Pki.CA.PEM(),
		FrontCAPEM:      p.Pki.FrontProxyCA.PEM(),
		ServerCAPEM:     p.Pki.CA.PEM(),
		Connect: connect.New(connect.Config{
			Door: func() client.Reader {
				return p.Door(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "kube-apiserver/"+config.Version)
			},
			KubeletTLS: p.kubeletTLS(),
			ByAddress:  p.kubeletCA != nil,
			Egress: egress.New(egress.Config{
				Never: []netip.Prefix{netip.MustParsePrefix(cfg.ServiceCIDR)},
				Own:   func() []netip.AddrPort { return ownListeners(listener, st) },
			}),
			Local: p.Kubelet.where,
			Log:   log.With("component", "connect"),
		}),
		DenyExternalIPs:  admitted.DenyExternalIPs,
		DisableAdmission: admitted.Disable,
		Audit:            p.audit,

		MaxReads:  anyNumber(cfg.MaxReads),
		MaxWrites: anyNumber(cfg.MaxWrites),
		Memory:    memlimit.Apply(),
		Leases:    &p.leases,
		Version:   hub.Version{Git: config.Version, Commit: config.Build},
	}
	return c
}

// anyNumber tells the hub, for which 0 is the default, what the flag's 0 means.
func anyNumber(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// kubeletTLS shows kubelets the API server's client certificate and believes only those that the authority of kubelets, or one
// that the command line names, vouches for.
func (p *Plane) kubeletTLS() *tls.Config {
	c := p.Pki.KubeletTLS()
	if p.kubeletCA != nil {
		c = pki.ClientTLS(p.Pki.KubeletClient, p.kubeletCA, "")
	}
	if p.trustKubelets {
		c.InsecureSkipVerify, c.VerifyConnection = true, nil
	}
	return c
}

// ownListeners are the API server's port and etcd's, the latter on every address so that it does not depend on where it listens.
func ownListeners(hub net.Listener, st *state) []netip.AddrPort {
	own := []netip.AddrPort{hub.Addr().(*net.TCPAddr).AddrPort()}
	if several, ok := hub.(*listeners); ok {
		own = several.addrs()
	}
	if at, err := netip.ParseAddrPort(st.listen); err == nil {
		own = append(own, netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port()))
	}
	return own
}

// localKubelet is where the kubelet of this process serves, once it does.
type localKubelet struct{ at atomic.Pointer[namedPort] }

type namedPort struct {
	node string
	at   netip.AddrPort
}

func (l *localKubelet) Serves(node string, port uint16) {
	l.at.Store(&namedPort{node, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)})
}

func (l *localKubelet) where() (string, netip.AddrPort) {
	if p := l.at.Load(); p != nil {
		return p.node, p.at
	}
	return "", netip.AddrPort{}
}

// Authorities reads the certificates of a PEM file.
func Authorities(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("no certificate in %s", file)
	}
	return pool, nil
}

func (p *Plane) Door(user api.User, userAgent string) client.Interface {
	return &door{hub: &p.hub, user: user, userAgent: userAgent}
}

// openKeys opens the certificate store; the API server's certificate names every address that it may be reached at.
func openKeys(cfg config.Config, paths config.Paths, advertise net.IP, log *slog.Logger) (*pki.Store, error) {
	node, err := cfg.Node()
	if err != nil {
		return nil, err
	}
	names, ips := apiNames(cfg, advertise)
	return pki.Open(pki.Config{
		Dir:           paths.PKI,
		NodeName:      node,
		ClusterDomain: cfg.ClusterDomain,
		ServiceIPs:    []net.IP{cfg.FirstServiceIP().AsSlice()},
		Names:         names,
		IPs:           ips,
		Log:           log.With("component", "pki"),
	})
}

func addresses(list []string) []net.IP {
	var out []net.IP
	for _, s := range list {
		if ip := net.ParseIP(s); ip != nil {
			out = append(out, ip)
		}
	}
	return out
}

func nonAddresses(list []string) []string {
	var out []string
	for _, s := range list {
		if net.ParseIP(s) == nil {
			out = append(out, s)
		}
	}
	return out
}

// localAddress is where a program on this machine reaches the API server.
func localAddress(cfg config.Config, port int) string {
	host, _, _ := net.SplitHostPort(cfg.Listen)
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, fmt.Sprint(port))
}

// withAuthority lets a listener show its authority too, so that a joining node can pin it by its hash.
func withAuthority(base *tls.Config, authority *x509.Certificate) *tls.Config {
	c := base.Clone()
	inner := c.GetCertificate
	c.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf, err := inner(h)
		if err != nil || leaf == nil || len(leaf.Certificate) != 1 {
			return leaf, err
		}
		chain := *leaf
		chain.Certificate = [][]byte{leaf.Certificate[0], authority.Raw}
		return &chain, nil
	}
	return c
}
