package apiserver

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/zpage"
	"sampan.dev/internal/config"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/webhook"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/connect"
	"sampan.dev/internal/hub/egress"
	"sampan.dev/internal/hub/encrypt"
	"sampan.dev/internal/hub/store/etcd"
	"sampan.dev/internal/memlimit"
	"sampan.dev/internal/node/hostnet"
	"sampan.dev/internal/pki"
	"sampan.dev/internal/tunnel/konnectivity/link"
	"sampan.dev/internal/tunnel/konnectivity/selector"

	"github.com/prometheus/client_golang/prometheus"
)

// Run serves until ctx ends.
func (c *Config) Run(ctx context.Context, log *slog.Logger) error {
	cfg, err := c.hub(log)
	if err != nil {
		return flag.Usage{Err: err}
	}
	if cfg.Audit, err = c.AuditTo(log.With("component", "audit")); err != nil {
		return flag.Usage{Err: err}
	}
	// The port is taken first: a mistake about it is told before etcd is asked.
	l, err := net.Listen("tcp", net.JoinHostPort(c.Bind.String(), strconv.Itoa(c.Port)))
	if err != nil {
		return fmt.Errorf("failed to create listener: %w", err)
	}
	defer l.Close()
	st, err := c.Store(ctx, log.With("component", "store"))
	if err != nil {
		return err
	}
	defer st.Close()
	cfg.Store, cfg.Shared, cfg.Listener = st, true, l
	if cfg.Encryption, err = c.Encryption(log); err != nil {
		return flag.Usage{Err: err}
	}
	cfg.Debug = c.Pages()
	var running atomic.Pointer[hub.Hub]
	out, err := c.dialer(l)
	if err == nil {
		cfg.Egress = out
		var connector *connect.Connector
		if connector, err = c.connector(func() client.Reader { return running.Load().Own() }, out, log); err == nil {
			cfg.Connect, cfg.ReadKubelet = connector, connector.Read
		}
	}
	if err != nil {
		return flag.Usage{Err: err}
	}
	h, err := hub.New(cfg)
	if err != nil {
		return err
	}
	running.Store(h)
	log.Info("API server starts", "version", config.Version, "at", cfg.Advertise.String(), "etcd", c.EtcdServers)
	return component.Beside(ctx, h.Run, func(ctx context.Context) error {
		select {
		case <-h.Ready():
			memlimit.LetGoOfProgram()
		case <-ctx.Done():
			return nil
		}
		if c.Beside != nil {
			return c.Beside(ctx, h, log)
		}
		<-ctx.Done()
		return nil
	})
}

// Hub is what the settings make of a hub, whoever runs it: keys, addresses, the store and what else is open while it runs are the
// caller's to add. Errors are of the settings.
func (c *Config) Hub() (out hub.Config, err error) {
	out = hub.Config{
		Bootstrap: true, NodePorts: hub.PortRange{Low: c.NodePorts[0], High: c.NodePorts[1]},
		NotReadySeconds: int64(c.NotReady), UnreachableSeconds: int64(c.Unreachable),
		MaxReads: orAny(c.MaxReads), MaxWrites: orAny(c.MaxWrites), NoFairness: !c.Fairness, Memory: memlimit.Apply(),
		Version: hub.Version{Git: config.Version, Commit: config.Build}, KeyRoot: c.Root, Collectors: []prometheus.Collector{component.Features{Gates: &c.Gates}},
	}
	var chosen admit.Config
	// NodeRestriction and the like are on in every hub; to enable them again is no mistake.
	if err := chosen.Select(c.EnablePlugins, c.Disable); err != nil {
		return out, err
	}
	out.DenyExternalIPs, out.DisableAdmission, out.EnableAdmission = chosen.DenyExternalIPs, chosen.Disable, chosen.Enable
	if out.JWT, err = c.JWTIssuers(c.Issuers...); err != nil {
		return out, err
	}
	if out.Anonymous, err = c.Anonymous(out.JWT); err != nil {
		return out, err
	}
	if out.Admission, err = admit.ReadSettings(c.AdmissionFile); err != nil {
		return out, fmt.Errorf("--admission-control-config-file: %w", err)
	}
	if err = out.Admission.Check(out.EnableAdmission); err != nil {
		return out, err
	}
	if out.Webhooks, err = webhook.ReadAskers(out.Admission.Askers); err != nil {
		return out, fmt.Errorf("--admission-control-config-file: %w", err)
	}
	out.Outsiders, err = c.Outsiders()
	return out, err
}

// Encryption reads --encryption-provider-config; nil for none.
func (c *Config) Encryption(log *slog.Logger) (*encrypt.Config, error) {
	if c.EncryptionFile == "" {
		if c.EncryptionReload {
			return nil, errors.New("--encryption-provider-config-automatic-reload must be set with --encryption-provider-config")
		}
		return nil, nil
	}
	return encrypt.Load(c.EncryptionFile, c.EncryptionReload, log.With("component", "encryption"))
}

// Pages are /flagz and /statusz.
func (c *Config) Pages() map[string]http.Handler {
	return map[string]http.Handler{
		"/flagz":   zpage.Flags("apiserver", func() map[string]string { return c.Table().Values() }),
		"/statusz": zpage.Status("apiserver", config.Version, time.Now(), []string{"/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version"}),
	}
}

// Store opens the etcd that the settings name.
func (c *Config) Store(ctx context.Context, log *slog.Logger) (*etcd.Store, error) {
	egress, err := c.Egress()
	if err != nil {
		return nil, err
	}
	return etcd.External(ctx, etcd.ExternalConfig{Servers: c.EtcdServers, CAFile: c.EtcdCA, CertFile: c.EtcdCert, KeyFile: c.EtcdKey, Prefix: c.Root,
		Dial: egress[selector.Etcd], Log: log})
}

// hub is what the hub of a process of its own is made of, but for what is open while it runs. Errors are of the settings.
func (c *Config) hub(log *slog.Logger) (hub.Config, error) {
	out, err := c.Hub()
	if err != nil {
		return out, err
	}
	out.Log = log
	if out.Kinds, err = c.Served(); err != nil {
		return out, err
	}
	missing, err := c.Unserved()
	if err != nil {
		return out, err
	}
	if len(missing) > 0 {
		log.Warn("--runtime-config asks for versions that are not built: they are not served", "versions", missing)
	}
	if len(c.EtcdServers) == 0 {
		return out, errors.New("--etcd-servers must be specified")
	}
	if len(c.ServiceRange) == 0 {
		c.ServiceRange = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	}
	out.ServiceCIDR = c.ServiceRange[0]
	if len(c.ServiceRange) > 1 || !out.ServiceCIDR.Addr().Is4() {
		return out, errors.New("--service-cluster-ip-range: services have addresses of one family, IPv4")
	}
	for _, step := range []func(*hub.Config) error{c.address, c.certificate, c.believed, c.tokens, c.rights} {
		if err := step(&out); err != nil {
			return out, err
		}
	}
	return out, nil
}

// orAny tells the hub, for which 0 is the default, what the flag's 0 means.
func orAny(n int) int {
	if n == 0 {
		return -1
	}
	return n
}

// address is where others reach the server.
func (c *Config) address(out *hub.Config) error {
	ip := c.Advertise
	if ip == nil && !c.Bind.IsUnspecified() && !c.Bind.IsLoopback() { // no endpoint may have a loopback's
		ip = c.Bind
	}
	if ip == nil {
		var err error
		if ip, err = hostnet.Address(); err != nil {
			return fmt.Errorf("unable to find suitable network address: %w; try to set the AdvertiseAddress directly", err)
		}
	}
	a, _ := netip.AddrFromSlice(ip)
	out.Advertise = netip.AddrPortFrom(a.Unmap(), uint16(c.Port))
	return nil
}

// Speaks is a listener's configuration with the versions that --tls-min-version allows. Of TLS 1.2 those suites are left whose ciphers
// are authenticated and whose keys are forgotten.
func (c *Config) Speaks(base *tls.Config) *tls.Config {
	if c.LowestTLS != "VersionTLS12" {
		return base
	}
	out := base.Clone()
	out.MinVersion = tls.VersionTLS12
	out.CipherSuites = []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
	return out
}

func (c *Config) certificate(out *hub.Config) error {
	if c.CertFile != "" {
		pair, err := pki.LoadPair(c.CertFile, c.KeyFile)
		if err != nil {
			return fmt.Errorf("--tls-cert-file: %w", err)
		}
		out.TLS = c.Speaks(pki.ServerTLS(pair))
		return nil
	}
	if c.CertDir != "" {
		pair, err := pki.LoadPair(filepath.Join(c.CertDir, "apiserver.crt"), filepath.Join(c.CertDir, "apiserver.key"))
		if err == nil {
			out.TLS = c.Speaks(pki.ServerTLS(pair))
			return nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--cert-dir: %w", err)
		}
	}
	pair, err := pki.SelfSigned("kube-apiserver", out.Advertise.Addr().AsSlice())
	if err != nil {
		return err
	}
	out.TLS = c.Speaks(pki.ServerTLS(pair))
	return nil
}

// believed are the authorities of those who come with certificates.
func (c *Config) believed(out *hub.Config) (err error) {
	if c.ClientCA != "" {
		pool, err := pki.OpenPool(c.ClientCA)
		if err != nil {
			return fmt.Errorf("--client-ca-file: %w", err)
		}
		out.ClientCA, out.ClientCAPEM = pool.Pool, pool.PEM()
		out.ServerCAPEM = out.ClientCAPEM // as in clusters that kubeadm makes, one authority vouches for both
	}
	if c.FrontProxyCA != "" {
		pool, err := pki.OpenPool(c.FrontProxyCA)
		if err != nil {
			return fmt.Errorf("--requestheader-client-ca-file: %w", err)
		}
		out.FrontProxyCA, out.FrontCAPEM, out.FrontProxyNames, out.FrontHeaders = pool.Pool, pool.PEM(), c.FrontProxyNames, c.FrontHeaders
	}
	if c.ProxyCert != "" || c.ProxyKey != "" {
		pair, err := pki.LoadPair(c.ProxyCert, c.ProxyKey)
		if err != nil {
			return fmt.Errorf("--proxy-client-cert-file: %w", err)
		}
		out.ProxyClient = pair.GetClientCertificate
	}
	return nil
}

// tokens is what service accounts' tokens are signed and verified with.
func (c *Config) tokens(out *hub.Config) error {
	switch {
	case len(c.Issuers) == 0:
		return errors.New("service-account-issuer is a required flag, use --service-account-issuer")
	case c.SigningKeyFile == "":
		return errors.New("service-account-signing-key-file is a required flag, use --service-account-signing-key-file")
	case len(c.KeyFiles) == 0:
		return errors.New("service-account-key-file is a required flag, use --service-account-key-file")
	}
	out.IssuerURL, out.FormerIssuers, out.Audiences = c.Issuers[0], c.Issuers[1:], c.Audiences
	data, err := os.ReadFile(c.SigningKeyFile)
	if err == nil {
		out.SigningKey, err = pki.ParsePrivateKey(data)
	}
	if err != nil {
		return fmt.Errorf("failed to parse --service-account-signing-key-file: %w", err)
	}
	for _, file := range c.KeyFiles {
		var keys []crypto.PublicKey
		data, err := os.ReadFile(file)
		if err == nil {
			keys, err = pki.ParsePublicKeys(data)
		}
		if err != nil {
			return fmt.Errorf("--service-account-key-file %s: %w", file, err)
		}
		out.VerifyKeys = append(out.VerifyKeys, keys...)
	}
	return nil
}

// rights is who may do what.
func (c *Config) rights(out *hub.Config) error {
	settings, err := c.Authorizers()
	if err != nil {
		return err
	}
	out.Authorization = settings
	if c.Authorization.File == "" && settings.Open() {
		out.Anonymous.Off = true // as upstream: where everybody may do everything, nobody comes in without credentials
	}
	return nil
}

// Authorizers reads --authorization-*.
func (c *Config) Authorizers() (*authz.Settings, error) {
	through, err := c.Egress()
	if err != nil {
		return nil, err
	}
	flags := c.Authorization
	flags.Dial = through[selector.ControlPlane]
	s, err := authz.Read(flags)
	if err != nil && flags.File != "" {
		return nil, fmt.Errorf("--authorization-config %s: %w", flags.File, err)
	}
	return s, err
}

// Egress is what makes connections for each of the purposes for which --egress-selector-config-file names a proxy.
func (c *Config) Egress() (map[string]link.DialFunc, error) {
	if c.EgressFile == "" {
		return nil, nil
	}
	conf, err := selector.Read(c.EgressFile)
	if err != nil {
		return nil, fmt.Errorf("--egress-selector-config-file: %w", err)
	}
	out, err := conf.Dialers()
	if err != nil {
		return nil, fmt.Errorf("--egress-selector-config-file: %w", err)
	}
	return out, nil
}

// dialer makes the connections to kubelets, pods, services, webhooks and other API servers, and none to l.
func (c *Config) dialer(l net.Listener) (*egress.Dialer, error) {
	through, err := c.Egress()
	if err != nil {
		return nil, err
	}
	return egress.New(egress.Config{
		Never:       c.ServiceRange,
		Dial:        through[selector.Cluster],
		DialWritten: through[selector.ControlPlane],
		Own:         func() []netip.AddrPort { return []netip.AddrPort{l.Addr().(*net.TCPAddr).AddrPort()} },
	}), nil
}

// connector reaches kubelets, pods and services for exec, logs and proxying.
func (c *Config) connector(door func() client.Reader, out *egress.Dialer, log *slog.Logger) (*connect.Connector, error) {
	cfg := connect.Config{Door: door, ByAddress: true, Log: log.With("component", "connect"), KubeletTLS: &tls.Config{MinVersion: tls.VersionTLS12}, Egress: out}
	if c.KubeletCert != "" {
		pair, err := pki.LoadPair(c.KubeletCert, c.KubeletKey)
		if err != nil {
			return nil, fmt.Errorf("--kubelet-client-certificate: %w", err)
		}
		cfg.KubeletTLS.GetClientCertificate = pair.GetClientCertificate
	}
	if c.KubeletCA == "" {
		cfg.KubeletTLS.InsecureSkipVerify = true // as upstream: who gives no authority trusts the network
		return connect.New(cfg), nil
	}
	pool, err := c.Kubelets()
	if err != nil {
		return nil, err
	}
	cfg.KubeletTLS.RootCAs = pool
	return connect.New(cfg), nil
}

// Kubelets is the authority of kubelets that --kubelet-certificate-authority names; nil where it names none.
func (c *Config) Kubelets() (*x509.CertPool, error) {
	if c.KubeletCA == "" {
		return nil, nil
	}
	_, pool, err := pki.ReadPool(c.KubeletCA)
	if err != nil {
		return nil, fmt.Errorf("--kubelet-certificate-authority: %w", err)
	}
	return pool, nil
}
