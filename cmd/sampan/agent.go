package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/memlimit"
	"sampan.dev/internal/obs"
	"sampan.dev/internal/pki"

	"github.com/spf13/cobra"
)

// agentCommand runs a node of a cluster whose control plane is elsewhere.
func agentCommand() *cobra.Command {
	cfg := config.Default()
	var token tokenSource
	cmd := &cobra.Command{
		Use:   "agent --server https://ADDRESS:PORT --token TOKEN",
		Short: "Run a node of a cluster elsewhere",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFlags(&cfg); err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return errors.New("a node needs root: namespaces, mounts, cgroups and packet filters are made for its pods")
			}
			if err := prerequisites(cfg); err != nil {
				return err
			}
			log, err := obs.NewLogger(cmd.ErrOrStderr(), cfg.LogLevel, cfg.LogFormat)
			if err != nil {
				return usageError{err}
			}
			if err := token.settle(&cfg); err != nil {
				return err
			}
			if _, err := parseJoinToken(cfg.Token); err == nil {
				if err := hideToken(os.Args[1:]); err != nil {
					log.Warn("the token stands in the list of processes; --token-file keeps it out", "error", err)
				}
			}
			return runAgent(cmd.Context(), cfg, log)
		},
	}
	placeFlags(cmd.Flags(), &cfg)
	nodeFlags(cmd.Flags(), &cfg)
	logFlags(cmd.Flags(), &cfg)
	cmd.Flags().StringVar(&cfg.Kubeconfig, "kubeconfig", "", "file with the API server and the node's credentials, instead of --server and --token")
	cmd.Flags().StringVar(&cfg.Server, "server", "", "https://ADDRESS:PORT of the API server")
	token.flags(cmd.Flags(), &cfg)
	cmd.Flags().StringVar(&cfg.ClusterCIDR, "cluster-cidr", "10.244.0.0/16", "range of the pods' addresses, as the server has it")
	cmd.Flags().StringVar(&cfg.ServiceCIDR, "service-cidr", "10.96.0.0/16", "range of the services' addresses, as the server has it")
	cmd.Flags().StringVar(&cfg.ClusterDomain, "cluster-domain", cfg.ClusterDomain, "DNS domain of the cluster, as the server has it")
	return cmd
}

func runAgent(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	paths := cfg.Paths()
	claim, err := takeClaim(paths)
	if err != nil {
		return err
	}
	defer claim.release()
	var authority []byte
	var token string
	var seat *seat
	if cfg.Kubeconfig != "" {
		if name, nameErr := cfg.Node(); nameErr != nil {
			err = nameErr
		} else {
			seat, err = kubeconfigSeat(cfg.Kubeconfig, name, log)
		}
	} else {
		authority, token, err = believe(ctx, cfg, paths)
	}
	if err != nil {
		return err
	}
	if err := keepNodeName(&cfg, log); err != nil {
		return err
	}
	memlimit.Apply()
	g := daemon.NewGroup(ctx, log)
	show := newSteps(os.Stderr)
	m := startMachine(g, cfg, paths, show, log)
	if seat == nil {
		seat, err = remoteSeat(g, cfg, paths, authority, token, log)
	}
	if err == nil {
		err = m.startNode(g, seat, show)
	}
	if err != nil {
		return stopped(g, err)
	}
	followHost(g, m.follow()...)
	g.Settle()
	log.Info("node is ready")
	return g.Wait()
}

// believe returns the cluster's authority: the one kept from joining, or the one that the token pins.
func believe(ctx context.Context, cfg config.Config, paths config.Paths) (authority []byte, token string, err error) {
	file := filepath.Join(paths.PKI, "ca.crt")
	if authority, err = os.ReadFile(file); err == nil && cfg.Token == "" {
		return authority, "", nil
	}
	if cfg.Server == "" || cfg.Token == "" {
		return nil, "", usageError{errors.New("--server and --token (or --token-file) are needed to join a cluster")}
	}
	join, err := parseJoinToken(cfg.Token)
	if err != nil {
		return nil, "", usageError{fmt.Errorf("--token: %w", err)}
	}
	if authority, err = fetchAuthority(ctx, cfg.Server, join.hash); err != nil {
		return nil, "", err
	}
	if err := os.MkdirAll(paths.PKI, 0o700); err != nil {
		return nil, "", err
	}
	return authority, join.token.String(), pki.WriteFile(file, authority, 0o644)
}
