package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/controllers"
	"sampan.dev/internal/component/face"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control"
)

const name = "cloud-controller-manager"

// manager makes what control runs of the flags, without a way to the API server. Errors are of the command line.
func (c *Config) manager(log *slog.Logger) (control.Config, error) {
	out := control.Config{Log: log, Kinds: all.Kinds(), OnlyCloud: true, Controllers: c.Controllers}
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
	rc, err := c.Contact.Config(name)
	if err != nil {
		return err
	}
	own, err := remote.New(rc)
	if err != nil {
		return err
	}
	if cfg.Doors, err = component.Doors(rc, own, c.OwnAccounts, log); err != nil {
		return err
	}
	cfg.UserAgent = name + "/" + config.Version
	run, err := controllers.Managed(name, cfg, c.Lead, c.Migration, own)
	if err != nil {
		return flag.Usage{Err: err}
	}
	log.Info("cloud loops start", "version", config.Version, "server", rc.Host, "provider", c.Provider)
	server := face.Server{Config: c.Face, Name: name, Contact: c.Contact, Log: log,
		Checks:  map[string]func() error{"ping": func() error { return nil }},
		Configz: func() (string, any) { return "cloudcontrollermanager.config.k8s.io", c.configz() },
	}
	return component.Beside(ctx, run, server.Run)
}

// configz shows what was chosen, with the names of CloudControllerManagerConfiguration.
func (c *Config) configz() any {
	return map[string]any{
		"Generic": map[string]any{"Controllers": c.Controllers, "LeaderElection": map[string]any{"leaderElect": c.Lead.Elect, "resourceName": c.Lead.Name, "resourceNamespace": c.Lead.Namespace}},
		"KubeCloudShared": map[string]any{"CloudProvider": map[string]any{"Name": c.Provider, "CloudConfigFile": c.File}, "ClusterName": c.ClusterName,
			"AllocateNodeCIDRs": c.AllocateCIDRs, "ConfigureCloudRoutes": c.Routes, "UseServiceAccountCredentials": c.OwnAccounts},
	}
}
