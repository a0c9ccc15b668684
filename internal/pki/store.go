package pki

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Config says where the store is and whom the API server's certificate names.
type Config struct {
	Dir           string // <data-dir>/pki
	NodeName      string // this machine's node name
	ClusterDomain string // default "cluster.local"
	ServiceIPs    []net.IP
	Names         []string // further names of the API server (--tls-san)
	IPs           []net.IP // its addresses: advertised, listened on
	Log           *slog.Logger
}

// Store is everything under Dir.
type Store struct {
	CA, FrontProxyCA, EtcdCA *Authority
	// KubeletCA signs what kubelets serve with and nothing else. Only the hub trusts it: whatever a node gets out of it, to
	// pods and to people it is nobody.
	KubeletCA *Authority

	APIServer        *Pair // serving
	KubeletClient    *Pair // API server to kubelets
	FrontProxyClient *Pair // API server to aggregated API servers
	EtcdServer       *Pair
	EtcdPeer         *Pair
	EtcdHealth       *Pair // kube-etcd-healthcheck-client, for people and probes
	EtcdClient       *Pair // API server to etcd

	// SAKey signs service account tokens. SAPublic verifies them.
	SAKey    crypto.Signer
	SAPublic []crypto.PublicKey

	mu  sync.Mutex // held while certificates are issued anew; guards the names in cfg
	cfg Config
}

// leaf describes one certificate of the store.
type leaf struct {
	name string
	ca   func(*Store) *Authority
	pair func(*Store) **Pair
	req  func(*Config) Request
}

// leaves is what kubeadm makes, with its names and subjects.
var leaves = []leaf{
	{"apiserver", theCA, func(s *Store) **Pair { return &s.APIServer }, apiServerRequest},
	{"apiserver-kubelet-client", theCA, func(s *Store) **Pair { return &s.KubeletClient }, func(*Config) Request {
		return Request{CommonName: KubeletClientName, Client: true}
	}},
	{"front-proxy-client", theFrontCA, func(s *Store) **Pair { return &s.FrontProxyClient }, func(*Config) Request {
		return Request{CommonName: FrontProxyName, Client: true}
	}},
	{"etcd/server", theEtcdCA, func(s *Store) **Pair { return &s.EtcdServer }, etcdRequest},
	{"etcd/peer", theEtcdCA, func(s *Store) **Pair { return &s.EtcdPeer }, etcdRequest},
	{"etcd/healthcheck-client", theEtcdCA, func(s *Store) **Pair { return &s.EtcdHealth }, func(*Config) Request {
		return Request{CommonName: "kube-etcd-healthcheck-client", Client: true}
	}},
	{"apiserver-etcd-client", theEtcdCA, func(s *Store) **Pair { return &s.EtcdClient }, func(*Config) Request {
		return Request{CommonName: "kube-apiserver-etcd-client", Client: true}
	}},
}

// Names with a meaning.
const (
	// ClusterAdmins is kubeadm's group of administrators; bootstrap binds it to cluster-admin.
	ClusterAdmins = "kubeadm:cluster-admins"
	// FrontProxyName is the only common name whose front-proxy headers are believed.
	FrontProxyName = "front-proxy-client"
	// KubeletClientName is whom kubelets take the hub for. It has no group, and bootstrap binds it to what kubelets ask for
	// and no more; the hub itself lets nobody in by this name.
	KubeletClientName = "kube-apiserver-kubelet-client"
)

func theCA(s *Store) *Authority      { return s.CA }
func theFrontCA(s *Store) *Authority { return s.FrontProxyCA }
func theEtcdCA(s *Store) *Authority  { return s.EtcdCA }

func apiServerRequest(c *Config) Request {
	r := Request{CommonName: "kube-apiserver", Server: true}
	r.DNSNames = unique(append([]string{
		c.NodeName, "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + c.ClusterDomain, "localhost",
	}, c.Names...))
	r.IPs = uniqueIPs(append(append(append([]net.IP{}, c.ServiceIPs...), c.IPs...), net.IPv4(127, 0, 0, 1), net.IPv6loopback))
	return r
}

func etcdRequest(c *Config) Request {
	return Request{
		CommonName: c.NodeName, Server: true, Client: true,
		DNSNames: unique([]string{"localhost", c.NodeName}),
		IPs:      uniqueIPs(append(append([]net.IP{}, c.IPs...), net.IPv4(127, 0, 0, 1), net.IPv6loopback)),
	}
}

// Open loads the store, making what is missing and reissuing what is near its end or lacks a name. A store that does not
// exist is made whole beside its place and renamed into it, so that a crash leaves all of it or nothing.
func Open(cfg Config) (*Store, error) {
	if cfg.ClusterDomain == "" {
		cfg.ClusterDomain = "cluster.local"
	}
	if cfg.NodeName == "" {
		cfg.NodeName = "localhost"
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{cfg: cfg}
	for _, l := range leaves {
		*l.pair(s) = &Pair{CertFile: s.path(l.name + ".crt"), KeyFile: s.path(l.name + ".key")}
	}
	_, err := os.Stat(cfg.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = s.create()
	case err == nil:
		err = s.load()
	}
	if err != nil {
		return nil, fmt.Errorf("certificate store %s: %w", cfg.Dir, err)
	}
	return s, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.cfg.Dir, filepath.FromSlash(name)) }

// create makes everything in memory and then writes it.
func (s *Store) create() error {
	files := map[string][]byte{}
	if err := s.makeAuthorities(files); err != nil {
		return err
	}
	if err := s.makeSAKey(files); err != nil {
		return err
	}
	for _, l := range leaves {
		if err := s.issue(l, files); err != nil {
			return err
		}
	}
	return writeTree(s.cfg.Dir, files)
}

var authorities = []struct {
	file, name string
	at         func(*Store) **Authority
}{
	{"ca", "kubernetes", func(s *Store) **Authority { return &s.CA }},
	{"front-proxy-ca", "front-proxy-ca", func(s *Store) **Authority { return &s.FrontProxyCA }},
	{"etcd/ca", "etcd-ca", func(s *Store) **Authority { return &s.EtcdCA }},
	{"kubelet-ca", "kubelet-ca", func(s *Store) **Authority { return &s.KubeletCA }},
}

// makeAuthorities makes those that the store does not have yet.
func (s *Store) makeAuthorities(files map[string][]byte) error {
	for _, a := range authorities {
		if *a.at(s) != nil {
			continue
		}
		ca, err := NewAuthority(a.name)
		if err != nil {
			return err
		}
		*a.at(s) = ca
		files[a.file+".crt"] = ca.PEM()
		if files[a.file+".key"], err = encodeKey(ca.Key); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) makeSAKey(files map[string][]byte) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	s.SAKey, s.SAPublic = key, []crypto.PublicKey{key.Public()}
	if files["sa.key"], err = encodeKey(key); err != nil {
		return err
	}
	files["sa.pub"], err = encodePublic(key.Public())
	return err
}

func (s *Store) issue(l leaf, files map[string][]byte) error {
	cert, err := l.ca(s).Issue(l.req(&s.cfg))
	if err != nil {
		return err
	}
	p := *l.pair(s)
	p.Set(cert)
	files[l.name+".crt"] = encodeCerts(cert.Certificate...)
	files[l.name+".key"], err = encodeKey(cert.PrivateKey.(crypto.Signer))
	return err
}

// load reads what is there. Missing files of a store that exists are made (a newer version may keep more than an older
// one); a file that does not parse is an error, because replacing an authority would cut off every node.
func (s *Store) load() error {
	files := map[string][]byte{}
	for _, a := range authorities {
		ca, err := loadAuthority(s.path(a.file+".crt"), s.path(a.file+".key"))
		if err != nil {
			return err
		}
		*a.at(s) = ca
	}
	if err := s.makeAuthorities(files); err != nil {
		return err
	}
	if err := s.loadSAKey(files); err != nil {
		return err
	}
	for _, l := range leaves {
		p := *l.pair(s)
		err := p.load()
		if err == nil {
			if why := s.stale(l, p.Certificate(), time.Now()); why != "" {
				s.cfg.Log.Info("reissuing certificate", "name", l.name, "why", why)
				err = fs.ErrNotExist
			}
		}
		if errors.Is(err, fs.ErrNotExist) && l.ca(s).Key != nil {
			err = s.issue(l, files)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return writeFiles(s.cfg.Dir, files)
}

// loadAuthority returns nil without an error when there is none. One without a key can only be trusted; of a key without a
// certificate nothing new is made, since it is an authority that lost a file.
func loadAuthority(certFile, keyFile string) (*Authority, error) {
	data, err := os.ReadFile(certFile)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(keyFile); err == nil {
			return nil, fmt.Errorf("%s is missing and its key %s is there: put it back, or move the key away too for a new authority that no node and no kubeconfig knows", certFile, filepath.Base(keyFile))
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	certs, err := ParseCertificates(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	a := &Authority{Cert: certs[0]}
	data, err = os.ReadFile(keyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	if a.Key, err = ParsePrivateKey(data); err != nil {
		return nil, fmt.Errorf("%s: %w", keyFile, err)
	}
	return a, nil
}

func (s *Store) loadSAKey(files map[string][]byte) error {
	data, err := os.ReadFile(s.path("sa.key"))
	if errors.Is(err, fs.ErrNotExist) {
		return s.makeSAKey(files)
	}
	if err != nil {
		return err
	}
	if s.SAKey, err = ParsePrivateKey(data); err != nil {
		return fmt.Errorf("%s: %w", s.path("sa.key"), err)
	}
	s.SAPublic = []crypto.PublicKey{s.SAKey.Public()}
	if data, err = os.ReadFile(s.path("sa.pub")); err == nil {
		// sa.pub may hold older keys behind the current one, so that their tokens outlive a rotation.
		more, err := ParsePublicKeys(data)
		if err != nil {
			return fmt.Errorf("%s: %w", s.path("sa.pub"), err)
		}
		for _, k := range more {
			if !samePublic(k, s.SAKey.Public()) {
				s.SAPublic = append(s.SAPublic, k)
			}
		}
		return nil
	}
	files["sa.pub"], err = encodePublic(s.SAKey.Public())
	return err
}

// stale tells why a certificate has to be issued anew, or "".
func (s *Store) stale(l leaf, c *tls.Certificate, now time.Time) string {
	x := c.Leaf
	if left := x.NotAfter.Sub(now); left < x.NotAfter.Sub(x.NotBefore)/3 {
		return fmt.Sprintf("it ends at %s", x.NotAfter.Format(time.RFC3339))
	}
	if err := x.CheckSignatureFrom(l.ca(s).Cert); err != nil {
		return "another authority signed it"
	}
	want := l.req(&s.cfg)
	if x.Subject.CommonName != want.CommonName || !slices.Equal(x.Subject.Organization, want.Organization) {
		return "it is for " + x.Subject.String()
	}
	for _, n := range want.DNSNames {
		if !slices.Contains(x.DNSNames, n) {
			return "it lacks the name " + n
		}
	}
	for _, ip := range want.IPs {
		if !slices.ContainsFunc(x.IPAddresses, ip.Equal) {
			return "it lacks the address " + ip.String()
		}
	}
	return ""
}

// Run reissues certificates in place before they end, until ctx does.
func (s *Store) Run(ctx context.Context) error {
	for {
		t := time.NewTimer(s.untilRenewal(time.Now()))
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
		if err := s.renew(time.Now()); err != nil {
			s.cfg.Log.Error("renew certificates", "error", err)
		}
	}
}

// untilRenewal is when the first certificate comes due, at least a minute and at most a day away (machines sleep).
func (s *Store) untilRenewal(now time.Time) time.Duration {
	d := 24 * time.Hour
	for _, l := range leaves {
		if c := (*l.pair(s)).Certificate(); c != nil {
			due := c.Leaf.NotAfter.Add(-c.Leaf.NotAfter.Sub(c.Leaf.NotBefore) / 3)
			d = min(d, due.Sub(now)+time.Second)
		}
	}
	return max(d, time.Minute)
}

func (s *Store) renew(now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := map[string][]byte{}
	for _, l := range leaves {
		c := (*l.pair(s)).Certificate()
		if c == nil || l.ca(s).Key == nil || s.stale(l, c, now) == "" {
			continue
		}
		if err := s.issue(l, files); err != nil {
			return err
		}
		s.cfg.Log.Info("renewed certificate", "name", l.name)
	}
	return writeFiles(s.cfg.Dir, files)
}

func unique(in []string) []string {
	var out []string
	for _, v := range in {
		if v != "" && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

func uniqueIPs(in []net.IP) []net.IP {
	var out []net.IP
	for _, v := range in {
		if v != nil && !v.IsUnspecified() && !slices.ContainsFunc(out, v.Equal) {
			out = append(out, v)
		}
	}
	return out
}

func samePublic(a, b crypto.PublicKey) bool {
	e, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && e.Equal(b)
}
