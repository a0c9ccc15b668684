package face

import (
	"net"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
)

// Config says where to serve and whom to believe.
type Config struct {
	Bind              net.IP
	Port              int // 0: do not serve
	CertFile, KeyFile string
	CertDir           string
	ClientCA          string // file: whose client certificates are believed, beside those of the cluster's own authority
	AuthKubeconfig    string // asked about tokens; "" means the component's own kubeconfig
	AuthzKubeconfig   string // asked about rights
	SkipLookup        bool
	Tolerate          bool
	AlwaysAllow       []string // paths that everybody may get
}

// Rows are the flags of secure serving and of delegated authentication and authorization, with upstream's defaults for a port.
// tolerate is upstream's default of --authentication-tolerate-lookup-failure.
func (c *Config) Rows(port int, tolerate bool) flag.Table {
	c.Bind, c.Port, c.Tolerate = net.IPv4zero, port, tolerate
	c.AlwaysAllow = []string{"/healthz", "/readyz", "/livez"}
	return flag.Join(c.serving(), c.delegated())
}

func (c *Config) serving() flag.Table {
	return flag.Join(flag.Table{
		flag.Set("bind-address", flag.IP(&c.Bind), "address to serve HTTPS on"),
		flag.Set("secure-port", flag.Int(&c.Port), "port to serve HTTPS on; 0: none"),
		flag.Set("cert-dir", flag.String(&c.CertDir), "folder with tls.crt and tls.key, where --tls-cert-file is not given"),
		flag.Ignore("disable-http2-serving", "bool", "", "this port speaks HTTP/1.1 only"),
		flag.Ignore("http2-max-streams-per-connection", "int", "", "this port speaks HTTP/1.1 only"),
		component.LowestTLS(),
	}, component.Pair(&c.CertFile, &c.KeyFile), component.Port()).Below("")
}

func (c *Config) delegated() flag.Table {
	const headers = "no proxy that names users in headers is believed on this port"
	const kept = "answers are kept for the kubelet's times: tokens 2m, leave 5m, its denial 30s"
	return flag.Table{
		flag.Set("authentication-kubeconfig", flag.String(&c.AuthKubeconfig), "kubeconfig to ask about tokens with; the component's own where it is not given"),
		flag.Set("authentication-skip-lookup", flag.Bool(&c.SkipLookup), "do not read the cluster's client authority from its ConfigMap"),
		flag.Set("authentication-tolerate-lookup-failure", flag.Bool(&c.Tolerate), "start even if the cluster's client authority cannot be read"),
		flag.Set("authorization-kubeconfig", flag.String(&c.AuthzKubeconfig), "kubeconfig to ask about rights with; that of authentication where it is not given"),
		flag.Set("authorization-always-allow-paths", flag.List(&c.AlwaysAllow), "paths that everybody may get"),
		flag.Set("client-ca-file", flag.String(&c.ClientCA), "authority whose client certificates are believed"),
		flag.Ignore("authentication-token-webhook-cache-ttl", "duration", "10s", kept),
		flag.Ignore("authorization-webhook-cache-authorized-ttl", "duration", "10s", kept),
		flag.Ignore("authorization-webhook-cache-unauthorized-ttl", "duration", "10s", kept),
		flag.Ignore("requestheader-allowed-names", "strings", "", headers),
		flag.Ignore("requestheader-client-ca-file", "string", "", headers),
		flag.Ignore("requestheader-extra-headers-prefix", "strings", "[x-remote-extra-]", headers),
		flag.Ignore("requestheader-group-headers", "strings", "[x-remote-group]", headers),
		flag.Ignore("requestheader-uid-headers", "strings", "", headers),
		flag.Ignore("requestheader-username-headers", "strings", "[x-remote-user]", headers),
	}
}
