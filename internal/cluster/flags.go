package cluster

import (
	"sampan.dev/internal/config"

	"github.com/spf13/pflag"
)

// PlaceFlags say which cluster a command is about.
func PlaceFlags(f *pflag.FlagSet, c *config.Config) {
	f.StringVar(&c.DataDir, "data-dir", c.DataDir, "where the cluster keeps its state; several live side by side in different ones")
	f.StringVar(&c.Name, "name", "", "the cluster of this name instead; data directory, port and ranges are chosen for a new one")
	f.String("config", "", "file with flags by their names (default /etc/sampan/config.yaml), besides FILE.d/*.yaml; the environment (SAMPAN_DATA_DIR …) and flags count more")
}

// LogFlags say how to log.
func LogFlags(f *pflag.FlagSet, c *config.Config) {
	f.StringVar(&c.LogLevel, "log-level", c.LogLevel, "debug, info, warn or error")
	f.StringVar(&c.LogFormat, "log-format", c.LogFormat, "text or json")
}
