package main

import (
	"fmt"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/obs"

	"github.com/spf13/cobra"
)

func downCommand() *cobra.Command {
	cfg := config.Default()
	server := false
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop a cluster and remove what it made on this machine, but not its data",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := machine.SettleToEnd(&cfg); err != nil {
				return err
			}
			if server {
				return machine.StopServer(cmd.Context(), cfg)
			}
			log, err := obs.NewLogger(cmd.ErrOrStderr(), "warn", "text")
			if err != nil {
				return err
			}
			return machine.Down(cmd.Context(), cfg, log)
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().BoolVar(&server, "server", false, "stop the control plane alone of a cluster that runs with --separate; its node goes on, and 'up' brings it back")
	return cmd
}

func purgeCommand() *cobra.Command {
	cfg := config.Default()
	var yes bool
	cmd := &cobra.Command{
		Use:   "purge --yes",
		Short: "Do what down does and erase the data",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := machine.SettleToEnd(&cfg); err != nil {
				return err
			}
			if !yes {
				return flag.Usage{Err: fmt.Errorf("purge erases everything in %s; say --yes if that is what you want", cfg.DataDir)}
			}
			if err := machine.Ours(cfg); err != nil {
				return err
			}
			log, err := obs.NewLogger(cmd.ErrOrStderr(), "warn", "text")
			if err != nil {
				return err
			}
			if err := machine.Down(cmd.Context(), cfg, log); err != nil {
				return err
			}
			return machine.Purge(cfg)
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().BoolVar(&yes, "yes", false, "really erase")
	return cmd
}
