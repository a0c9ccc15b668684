package cloud

import (
	"io"
	"log/slog"
	"net/netip"
	"time"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/face"
	"sampan.dev/internal/component/flag"
	loops "sampan.dev/internal/control/cloud"

	"github.com/spf13/pflag"
)

// Config of a cloud controller manager. Make one with New.
type Config struct {
	Log       component.Log
	Contact   component.Contact
	Lead      component.Election
	Migration component.Migration
	Face      face.Config

	Provider string   // by name; see providers
	File     string   // of the provider
	APIPort  uint16   // of the API server where it is on a node; 0: it is on none
	Ranges   []string // of the addresses of balancers, see cloud.ParseRange; for the provider local only

	Controllers   []string // as control.Config has them
	OwnAccounts   bool     // each controller acts as a service account of its own
	ClusterName   string
	ClusterCIDRs  []netip.Prefix
	Untagged      bool // a cloud that cannot tell clusters apart will do
	AllocateCIDRs bool
	Routes        bool

	NodeMonitor, NodeStatus, RouteResync time.Duration
}

// New returns upstream's defaults.
func New() *Config {
	return &Config{
		Controllers: []string{"*"}, ClusterName: "kubernetes", Routes: true,
		NodeMonitor: 5 * time.Second, NodeStatus: 5 * time.Minute, RouteResync: 10 * time.Second,
	}
}

// Logger makes the logger that the flags ask for.
func (c *Config) Logger(w io.Writer) (*slog.Logger, error) { return c.Log.New(w) }

// Flags binds upstream's command line.
func (c *Config) Flags(fs *pflag.FlagSet) { c.Table().Add(fs) }

// Read does nothing: upstream's cloud controller manager has no configuration file of its own.
func (c *Config) Read(flag.Table, *pflag.FlagSet) error { return nil }

// Loops makes what control runs of the flags. Errors are of the command line.
func (c *Config) Loops(log *slog.Logger) (loops.Config, error) {
	p, err := c.open(log)
	out := loops.Config{Provider: p, ClusterName: c.ClusterName, NodeMonitor: c.NodeMonitor, NodeStatus: c.NodeStatus, RouteResync: c.RouteResync}
	if c.Routes && c.AllocateCIDRs {
		out.ClusterCIDRs = c.ClusterCIDRs
	}
	return out, err
}
