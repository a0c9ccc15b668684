package main

import (
	"errors"
	"os"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/obs"

	"github.com/spf13/cobra"
)

// agentCommand runs a node of a cluster whose control plane is elsewhere.
func agentCommand() *cobra.Command {
	cfg := suite.New()
	var token cluster.TokenSource
	cmd := &cobra.Command{
		Use:   "agent --server https://ADDRESS:PORT --token TOKEN",
		Short: "Run a node of a cluster elsewhere",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.Check(); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return errors.New("a node needs root: namespaces, mounts, cgroups and packet filters are made for its pods")
			}
			if err := machine.Prerequisites(cfg.Config, cfg.Proxy.Mode); err != nil {
				return err
			}
			log, err := obs.NewLogger(cmd.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat)
			if err != nil {
				return flag.Usage{Err: err}
			}
			if err := token.Settle(&cfg.Config); err != nil {
				return err
			}
			if _, err := cluster.ParseJoinToken(cfg.Token); err == nil {
				if err := cluster.HideToken(os.Args[1:]); err != nil {
					log.Warn("the token stands in the list of processes; --token-file keeps it out", "error", err)
				}
			}
			return cluster.RunAgent(cmd.Context(), cfg, log)
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg.Config)
	cfg.NodeFlags(cmd.Flags())
	cluster.LogFlags(cmd.Flags(), &cfg.Config)
	cmd.Flags().StringVar(&cfg.Kubeconfig, "kubeconfig", "", "file with the API server and the node's credentials, instead of --server and --token")
	cmd.Flags().StringVar(&cfg.Server, "server", "", "https://ADDRESS:PORT of the API server")
	token.Flags(cmd.Flags(), &cfg.Config)
	cmd.Flags().BoolVar(&cfg.Tunnel, "tunnel", false, "keep a connection to the control plane by which it reaches this node; no port of the node need be open")
	cmd.Flags().StringSliceVar(&cfg.TunnelServers, "tunnel-server", nil, "HOST:PORT of the control plane's tunnel servers (default port "+config.TunnelPort+" of --server)")
	cmd.Flags().StringVar(&cfg.ClusterCIDR, "cluster-cidr", "10.244.0.0/16", "range of the pods' addresses, as the server has it")
	cmd.Flags().StringVar(&cfg.ServiceCIDR, "service-cidr", "10.96.0.0/16", "range of the services' addresses, as the server has it")
	cmd.Flags().StringVar(&cfg.ClusterDomain, "cluster-domain", cfg.ClusterDomain, "DNS domain of the cluster, as the server has it")
	return cmd
}
