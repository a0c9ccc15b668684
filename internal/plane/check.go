package plane

import (
	"fmt"
	"io"

	"sampan.dev/internal/component/apiserver"
	"sampan.dev/internal/component/flag"
	nodeflag "sampan.dev/internal/component/kubelet"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/obs"
)

// CheckFlags finds what is wrong with the flags of a cluster or node, all of it before anything is made or started.
func CheckFlags(cfg *config.Config) error {
	if err := cfg.Validate(); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := obs.NewLogger(io.Discard, cfg.LogLevel, cfg.LogFormat); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := control.New(control.Config{Controllers: controllers(*cfg)}); err != nil {
		return flag.Usage{Err: fmt.Errorf("--controllers: %w", err)}
	}
	if _, err := admission(*cfg); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := apiserver.Anonymous(cfg.AuthenticationConfig, cfg.AnonymousAuth); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := nodeflag.Labels(cfg.NodeLabels); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := nodeflag.Taints(cfg.NodeTaints); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := nodeflag.NodeIPs(cfg.NodeIP); err != nil {
		return flag.Usage{Err: err}
	}
	if _, err := nodeflag.ReadReserves(cfg.SystemReserved, cfg.KubeReserved, cfg.EvictionHard); err != nil {
		return flag.Usage{Err: err}
	}
	return nil
}

// Check settles what the command line left open and checks the whole.
func Check(cfg *config.Config) error {
	if err := machine.SettleRanges(cfg); err != nil {
		return err
	}
	return CheckFlags(cfg)
}
