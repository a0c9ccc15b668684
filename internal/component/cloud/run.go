package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sampan.dev/internal/component/controllers"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control"
)

const name = "cloud-controller-manager"

// manager makes what control runs of the flags, without a way to the API server. Errors are of the command line.
func (c *Config) manager(log *slog.Logger) (control.Config, error) {
	out := control.Config{Log: log, OnlyCloud: true, Controllers: c.Controllers}
	if c.Provider == "" || c.Provider == None {
		return out, errors.New("--cloud-provider cannot be empty")
	}
	var err error
	if out.Cloud, err = c.Loops(log); err != nil {
		return out, fmt.Errorf("--cloud-provider: %w", err)
	}
	if id := out.Cloud.Provider.ClusterID; id != nil && !id() && !c.Untagged {
		return out, errors.New("no ClusterID found.  A ClusterID is required for the cloud provider to function properly.  This check can be bypassed by setting the allow-untagged-cloud option")
	}
	return out, nil
}

// Run runs the loops until ctx ends.
func (c *Config) Run(ctx context.Context, log *slog.Logger) error {
	cfg, err := c.manager(log)
	if err != nil {
		return flag.Usage{Err: err}
	}
	cfg.UserAgent = name + "/" + config.Version
	log.Info("cloud", "provider", c.Provider)
	p := controllers.Program{Name: name, Contact: c.Contact, Lead: c.Lead, Migration: c.Migration, Face: c.Face, OwnAccounts: c.OwnAccounts,
		Configz: func() (string, any) { return "cloudcontrollermanager.config.k8s.io", c.configz() },
		Flags:   func() map[string]string { return c.Table().Values() }}
	return p.Run(ctx, cfg)
}

// configz shows what was chosen, with the names of CloudControllerManagerConfiguration.
func (c *Config) configz() any {
	return map[string]any{
		"Generic": map[string]any{"Controllers": c.Controllers, "LeaderElection": map[string]any{"leaderElect": c.Lead.Elect, "resourceName": c.Lead.Name, "resourceNamespace": c.Lead.Namespace}},
		"KubeCloudShared": map[string]any{"CloudProvider": map[string]any{"Name": c.Provider, "CloudConfigFile": c.File}, "ClusterName": c.ClusterName,
			"AllocateNodeCIDRs": c.AllocateCIDRs, "ConfigureCloudRoutes": c.Routes, "UseServiceAccountCredentials": c.OwnAccounts},
	}
}
