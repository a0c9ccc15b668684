package controllers

import (
	"context"
	"fmt"
	"slices"

	"sampan.dev/internal/client"
	"sampan.dev/internal/component"
	"sampan.dev/internal/control"
)

// Managed is what runs a component's controllers under its lease, and those that migrate under that of the migration. Errors are of
// the command line. door is the component's own.
func Managed(name string, cfg control.Config, lead component.Election, migration component.Migration, door client.Interface) (func(context.Context) error, error) {
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
		return leading(lead, all), nil
	}
	own, moved := moving.Split(name, all.Chosen())
	managers := make([]*control.Manager, 2)
	for i, selection := range [][]string{own, moved} {
		cfg.Controllers = slices.Clip(selection)
		if managers[i], err = control.New(cfg); err != nil {
			return nil, err
		}
	}
	other := lead
	other.Name = moving.LeaderName
	return func(ctx context.Context) error {
		return component.Beside(ctx, leading(lead, managers[0]), leading(other, managers[1]))
	}, nil
}
