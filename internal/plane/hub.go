package plane

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/config"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/connect"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/encrypt"
	"sampan.dev/internal/pki"
	"sampan.dev/internal/tunnel/konnectivity/selector"
)

// hubConfig is what a hub is made of: the settings, the keys, and the store and listener that it has while it runs.
func (p *Plane) hubConfig(st *state, listener net.Listener) (hub.Config, error) {
	c, err := p.cfg.API.Hub()
	if err != nil {
		return c, err
	}
	services := netip.MustParsePrefix(p.cfg.ServiceCIDR)
	c.Kinds, c.Leases, c.Audit = p.kinds, &p.leases, p.audit
	c.Store, c.Apart, c.Checks = st.main, st.apart, append(st.checks, p.parts)
	c.Components = p.component
	c.Shared = len(p.cfg.API.EtcdServers) > 0 // whoever has an etcd elsewhere may have further API servers on it
	c.Collectors = append(c.Collectors, collectors{p}, p.cfg.Scheduler.Collector())
	c.Debug = p.cfg.API.Pages()
	c.Debug["/debug/controllers"] = http.HandlerFunc(p.serveControllers)
	c.Log, c.Listener = p.log.With("component", "hub"), listener
	c.Advertise, c.Moved, c.ServiceCIDR, c.DNS = *p.Advertise.Load(), p.moved, services, true

	// Whom the API server shows itself as, and whom it believes.
	c.TLS = withAuthority(p.cfg.API.Speaks(pki.ServerTLS(p.Pki.APIServer)), p.Pki.CA.Cert)
	c.ClientCA = func() *x509.CertPool { return p.Pki.CA.Pool() }
	c.FrontProxyCA, c.FrontProxyNames = func() *x509.CertPool { return p.Pki.FrontProxyCA.Pool() }, []string{pki.FrontProxyName}
	c.ClientCAPEM, c.FrontCAPEM, c.ServerCAPEM = p.Pki.CA.PEM(), p.Pki.FrontProxyCA.PEM(), p.Pki.CA.PEM()
	c.IssuerURL = "https://kubernetes.default.svc." + p.cfg.ClusterDomain
	c.SigningKey, c.VerifyKeys = p.Pki.SAKey, p.Pki.SAPublic

	if c.Encryption, err = p.encryption(); err != nil {
		return c, err
	}
	if c.Authorization, err = p.cfg.Authorizers(); err != nil {
		return c, err
	}

	through, err := p.cfg.API.Egress()
	if err != nil {
		return c, err
	}
	out := egress.New(p.tunnels.through(egress.Config{
		Never:       []netip.Prefix{services},
		Dial:        through[selector.Cluster],
		DialWritten: through[selector.ControlPlane],
		Own:         func() []netip.AddrPort { return append(ownListeners(listener, st), p.tunnels.own()...) },
	}))
	c.Egress, c.ProxyClient = out, p.Pki.FrontProxyClient.GetClientCertificate
	connector := connect.New(connect.Config{
		Door: func() client.Reader {
			return p.Door(api.User{Name: api.UserAPIServer, Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "kube-apiserver/"+config.Version)
		},
		KubeletTLS: p.kubeletTLS(),
		ByAddress:  p.kubeletCA != nil,
		Egress:     out,
		Local:      p.Kubelet.where,
		Log:        p.log.With("component", "connect"),
	})
	c.Connect, c.ReadKubelet = connector, connector.Read
	return c, nil
}

// component says how the part of this process that a ComponentStatus is about is; ok is false when no such part runs here.
func (p *Plane) component(name string) (err error, ok bool) {
	part := map[string]string{"controller-manager": "controllers", "scheduler": "scheduler"}[name]
	for _, s := range p.states() {
		if s.Name != part {
			continue
		}
		if !s.Running {
			return errors.New(s.Error), true
		}
		return nil, true
	}
	return nil, false
}

// encryption is what --encryption-provider-config says, or else the file beside the keys. With the embedded store that is made at the
// first start: Secrets are encrypted. On an etcd elsewhere, which others may share, it counts only where it is there: the state may
// come from an embedded store.
func (p *Plane) encryption() (*encrypt.Config, error) {
	api := *p.cfg.API
	if api.EncryptionFile != "" {
		return api.Encryption(p.log)
	}
	own := filepath.Join(p.cfg.Paths().PKI, "encryption.yaml")
	if _, err := os.Stat(own); errors.Is(err, os.ErrNotExist) {
		if len(api.EtcdServers) > 0 {
			return nil, nil
		}
		if err := pki.WriteFile(own, encrypt.NewFile(), 0o600); err != nil {
			p.log.Warn("Secrets are not encrypted until the next start: no file of keys could be made", "error", err)
			return nil, nil
		}
	}
	api.EncryptionFile = own
	return api.Encryption(p.log)
}

// kubeletTLS shows kubelets the API server's client certificate and believes only those that the authority of kubelets, or one
// that the command line names, vouches for.
func (p *Plane) kubeletTLS() *tls.Config {
	c := p.Pki.KubeletTLS()
	if p.kubeletCA != nil {
		c = pki.ClientTLS(p.Pki.KubeletClient, p.kubeletCA, "")
	}
	if p.cfg.InsecureKubeletTLS {
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

// serveControllers says how the controllers of this process are.
func (p *Plane) serveControllers(w http.ResponseWriter, r *http.Request) {
	m := p.manager.Load()
	if m == nil {
		http.Error(w, "no controllers run in this process", http.StatusNotFound)
		return
	}
	m.ServeHTTP(w, r)
}
