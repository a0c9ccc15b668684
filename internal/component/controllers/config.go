package controllers

import (
	"io"
	"log/slog"
	"net/netip"
	"time"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/face"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/control/autoscale"
	"sampan.dev/internal/control/storage"

	"github.com/spf13/pflag"
)

// Config of a controller manager of its own. Make one with New.
type Config struct {
	Log     component.Log
	Contact component.Contact
	Lead    component.Election
	Face    face.Config

	Migration component.Migration
	Gates     component.Gates

	Controllers []string // as control.Config has them
	OwnAccounts bool     // each controller acts as a service account of its own

	AllocateNodeCIDRs  bool
	ClusterCIDRs       []netip.Prefix
	ServiceCIDRs       []netip.Prefix
	Mask, Mask4, Mask6 int32 // bits of a node's range; 0 means 24 and 64

	RootCAFile   string
	TokenKeyFile string
	UnusedTokens time.Duration
	Signing      pairOfFiles // signs for all signers that have none of their own
	SignFor      time.Duration

	MonitorGrace, StartupGrace  time.Duration
	EvictionRate, SecondaryRate float64
	LargeCluster                int32
	Unhealthy                   float64
	TerminatedPodThreshold      int32
	Autoscale                   autoscale.Config
	Attach                      storage.AttachConfig
	signLegacy, signServing     pairOfFiles
	signKubelet, signAPIServer  pairOfFiles
}

type pairOfFiles struct{ Cert, Key string }

// New returns upstream's defaults.
func New() *Config {
	return &Config{
		Controllers: []string{"*"}, SignFor: 365 * 24 * time.Hour,
		MonitorGrace: 50 * time.Second, StartupGrace: time.Minute,
		EvictionRate: 0.1, SecondaryRate: 0.01, LargeCluster: 50, Unhealthy: 0.55,
		TerminatedPodThreshold: 12500, UnusedTokens: 365 * 24 * time.Hour,
		Autoscale: autoscale.Default,
	}
}

// Logger makes the logger that the flags ask for.
func (c *Config) Logger(w io.Writer) (*slog.Logger, error) { return c.Log.New(w) }

// Flags binds upstream's command line.
func (c *Config) Flags(fs *pflag.FlagSet) { c.Table().Add(fs) }

// Read does nothing: upstream's controller manager has no configuration file.
func (c *Config) Read(flag.Table, *pflag.FlagSet) error { return nil }
