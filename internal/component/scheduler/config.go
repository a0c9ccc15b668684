package scheduler

import (
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/face"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/control/scheduler"

	"github.com/spf13/pflag"
)

// Config of a scheduler of its own. Make one with New.
type Config struct {
	File    string // a KubeSchedulerConfiguration
	Log     component.Log
	Contact component.Contact
	Lead    component.Election
	Face    face.Config
	Gates   component.Gates

	// Profiles are those of the file; none is the default one.
	Profiles []Profile
	// Extenders are those of the file, asked about the pods of every profile.
	Extenders []Extender

	runs atomic.Pointer[scheduler.Scheduler] // by this configuration, for its metrics; nil while none does
}

// New returns upstream's defaults.
func New() *Config { return &Config{} }

// Logger makes the logger that the flags ask for.
func (c *Config) Logger(w io.Writer) (*slog.Logger, error) { return c.Log.New(w) }

// Flags binds upstream's command line.
func (c *Config) Flags(fs *pflag.FlagSet) { c.Table().Add(fs) }

// Table is every flag and every field of the file, and what becomes of it. It sets upstream's defaults.
func (c *Config) Table() flag.Table {
	const all = "all nodes that may fit are known, so all are scored"
	const own = "the scheduler's queue has steps of its own"
	return flag.Join(flag.Table{
		flag.Set("config", flag.String(&c.File), "KubeSchedulerConfiguration (file); flags win over it"),
		flag.Refuse("write-config-to", "string", "", "the configuration is shown by /configz"),
		flag.Ignore("pod-max-in-unschedulable-pods-duration", "duration", "5m0s", "a pod is tried again when something has changed that may help it"),
		flag.Set("", flag.JSON(&c.Extenders), "servers that are asked beside the plugins").At("extenders"),
		flag.Ignore("", "int32", "16", "one goroutine decides").At("parallelism"),
		flag.Ignore("", "int32", "", all).At("percentageOfNodesToScore"),
		flag.Ignore("", "int32", "1", own).At("podInitialBackoffSeconds"),
		flag.Ignore("", "int32", "10", own).At("podMaxBackoffSeconds"),
		flag.Ignore("", "bool", "", "the cache starts with leadership").At("delayCacheUntilActive"),
		flag.Set("", flag.JSON(&c.Profiles), "profiles, by scheduler name").At("profiles"),
		flag.Ignore("", "bool", "true", component.NoProfiles).At("enableProfiling"),
		flag.Ignore("", "bool", "true", component.NoProfiles).At("enableContentionProfiling"),
	},
		c.Contact.Rows("clientConnection", "50", "100"), c.Lead.Rows("kube-scheduler", "leaderElection"), c.Face.Rows(10259, true),
		component.Profiling("true", component.NoProfiles), component.Metrics(), component.Versions(&c.Gates), c.Log.Rows(""),
	)
}

// Read reads the file that --config names, if any.
func (c *Config) Read(table flag.Table, fs *pflag.FlagSet) error {
	if c.File == "" {
		return nil
	}
	if err := table.ReadFile(c.File, fs, "KubeSchedulerConfiguration", "kubescheduler.config.k8s.io/v1"); err != nil {
		return err
	}
	if err := checkExtenders(c.Extenders); err != nil {
		return flag.Usage{Err: fmt.Errorf("--config %s: %w", c.File, err)}
	}
	if _, err := profiles(c.Profiles, ignored(c.Extenders)); err != nil {
		return flag.Usage{Err: fmt.Errorf("--config %s: %w", c.File, err)}
	}
	if _, err := chain(c.Extenders, slog.New(slog.DiscardHandler)); err != nil {
		return flag.Usage{Err: fmt.Errorf("--config %s: %w", c.File, err)}
	}
	return nil
}
