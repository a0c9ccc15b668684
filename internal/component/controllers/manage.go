package controllers

import (
	"context"
	"fmt"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/face"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Program is a controller manager in a process of its own.
type Program struct {
	Name        string
	Contact     component.Contact
	Lead        component.Election
	Migration   component.Migration
	Face        face.Config
	Gates       *component.Gates         // nil: those of v1.37
	OwnAccounts bool                     // each controller acts as a service account of its own
	Configz     func() (string, any)     // group of the configuration and what was chosen
	Flags       func() map[string]string // the flags and their values
}

// Run finds the API server, runs the controllers that cfg describes before it, and shows how it is, until ctx ends. cfg has all but
// the kinds and the way to the API server.
func (p Program) Run(ctx context.Context, cfg control.Config) error {
	rc, err := p.Contact.Config(p.Name)
	if err != nil {
		return err
	}
	own, err := remote.New(rc)
	if err != nil {
		return err
	}
	cfg.Kinds = p.kinds()
	if len(cfg.RootCA) == 0 {
		cfg.RootCA = rc.CAData // what the manager itself trusts, as upstream
	}
	if cfg.Doors, err = component.Doors(rc, own, p.OwnAccounts, cfg.Log); err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	run, err := managed(p.Name, cfg, p.Lead, p.Migration, own, metrics)
	if err != nil {
		return flag.Usage{Err: err}
	}
	cfg.Log.Info("controllers start", "version", config.Version, "server", rc.Host)
	server := face.Server{Config: p.Face, Name: p.Name, Contact: p.Contact, Log: cfg.Log,
		Checks: map[string]func() error{"ping": func() error { return nil }}, Configz: p.Configz, Flags: p.Flags, Gates: p.Gates,
		Metrics: promhttp.HandlerFor(metrics, promhttp.HandlerOpts{})}
	return component.Beside(ctx, run, server.Run)
}

// kinds are those that an API server may serve with the features that are on.
func (p Program) kinds() *api.Kinds {
	if p.Gates != nil && p.Gates.GenericWorkload {
		return all.Grouped()
	}
	return all.Kinds()
}

// managed is what runs a component's controllers under its lease, and those that migrate under that of the migration. Errors are of
// the command line. door is the component's own; metrics are told of the managers.
func managed(name string, cfg control.Config, lead component.Election, migration component.Migration, door client.Interface, metrics prometheus.Registerer) (func(context.Context) error, error) {
	moving, err := migration.Read()
	if err != nil {
		return nil, err
	}
	all, err := control.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("--controllers: %w", err)
	}
	leading := func(lead component.Election, m *control.Manager) func(context.Context) error {
		return func(ctx context.Context) error { return lead.Lead(ctx, door, cfg.Log, m.Run) }
	}
	if moving == nil {
		metrics.MustRegister(all)
		return leading(lead, all), nil
	}
	own, moved := moving.Split(name, all.Chosen())
	managers := make([]*control.Manager, 2)
	for i, selection := range [][]string{own, moved} {
		cfg.Controllers = slices.Clip(selection)
		if managers[i], err = control.New(cfg); err != nil {
			return nil, err
		}
		metrics.MustRegister(managers[i])
	}
	other := lead
	other.Name = moving.LeaderName
	return func(ctx context.Context) error {
		return component.Beside(ctx, leading(lead, managers[0]), leading(other, managers[1]))
	}, nil
}
