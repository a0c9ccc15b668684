package apiserver

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authn/jwt"
	"sampan.dev/internal/hub/authz"

	"github.com/spf13/pflag"
)

// Config of an API server of its own. Make one with New.
type Config struct {
	Log   component.Log
	Gates component.Gates

	// Where it serves, and what it shows.
	Bind, Advertise   net.IP
	Port              int
	CertFile, KeyFile string
	LowestTLS         string // "": VersionTLS13
	CertDir           string // has apiserver.crt and apiserver.key where no files are named; "": a certificate is made for this run

	// Where objects are.
	EtcdServers                     []string
	EtcdCA, EtcdCert, EtcdKey, Root string // Root is the prefix of all keys
	EncryptionFile                  string // an EncryptionConfiguration
	EncryptionReload                bool   // is read anew when it changes

	// Who is believed, and what they may.
	ClientCA                string
	FrontProxyCA            string
	FrontProxyNames         []string
	ProxyCert, ProxyKey     string // what this server shows to those behind it
	AnonymousAuth           bool
	JWT                     jwt.Flags
	TokenFile               string
	TokenWebhook            TokenWebhook
	FrontHeaders            authn.FrontHeaders
	Issuers, Audiences      []string
	KeyFiles                []string
	SigningKeyFile          string
	Authorization           authz.Flags
	EnablePlugins, Disable  []string
	RuntimeConfig           string // see Served
	AdmissionFile           string // an AdmissionConfiguration
	NotReady, Unreachable   int
	MaxReads, MaxWrites     int
	Audit                   Audit
	Fairness                bool
	ServiceRange            []netip.Prefix
	NodePorts               [2]int
	KubeletCert, KubeletKey string
	KubeletCA               string
	EgressFile              string // an EgressSelectorConfiguration

	// Beside runs beside the hub once that is ready; nil: nothing does. It is no flag.
	Beside func(ctx context.Context, h *hub.Hub, log *slog.Logger) error
}

// New returns upstream's defaults.
func New() *Config {
	return &Config{
		Bind: net.IPv4zero, Port: 6443, Root: "/registry", AnonymousAuth: true,
		NotReady: 300, Unreachable: 300, MaxReads: 400, MaxWrites: 200, Fairness: true, NodePorts: [2]int{30000, 32767}, Audit: newAudit(), Authorization: authz.NewFlags(), JWT: jwt.NewFlags(),
		CertDir:      "/var/run/kubernetes",
		TokenWebhook: TokenWebhook{Version: "v1beta1", TTL: 2 * time.Minute},
	}
}

// Logger makes the logger that the flags ask for.
func (c *Config) Logger(w io.Writer) (*slog.Logger, error) { return c.Log.New(w) }

// Flags binds upstream's command line.
func (c *Config) Flags(fs *pflag.FlagSet) { c.Table().Add(fs) }

// Read does nothing: upstream's API server has no file for all its settings.
func (c *Config) Read(flag.Table, *pflag.FlagSet) error { return nil }
