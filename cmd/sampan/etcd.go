package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/hub/store/etcd"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/pki"
	"sampan.dev/internal/plane"

	"github.com/spf13/cobra"
)

// etcdCommand looks after the embedded etcd: of a cluster that runs, through the port and certificates that etcdctl uses too.
func etcdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "etcd",
		Short: "Look at, defragment, back up or restore the embedded etcd",
		Args:  cluster.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		etcdAction("status", "Say how large the database is, and whether alarms are raised", cluster.NoArgs,
			func(ctx context.Context, cfg config.Config, cmd *cobra.Command, _ []string) error {
				return withEtcd(ctx, cfg, func(c *etcd.Admin) error {
					text, err := c.Status(ctx)
					fmt.Fprint(cmd.OutOrStdout(), text)
					return err
				})
			}),
		etcdAction("defrag", "Give back what is free in the database; writes wait meanwhile", cluster.NoArgs,
			func(ctx context.Context, cfg config.Config, _ *cobra.Command, _ []string) error {
				return withEtcd(ctx, cfg, func(c *etcd.Admin) error { return c.Defragment(ctx) })
			}),
		etcdAction("snapshot FILE", "Write a snapshot of the database, with its checksum, as etcdctl does", oneFile,
			func(ctx context.Context, cfg config.Config, _ *cobra.Command, args []string) error {
				return withEtcd(ctx, cfg, func(c *etcd.Admin) error { return c.Snapshot(ctx, args[0]) })
			}),
		etcdAction("restore FILE", "Make the database of a cluster that has none of a snapshot; start the cluster afterwards", oneFile,
			func(_ context.Context, cfg config.Config, cmd *cobra.Command, args []string) error {
				return restoreEtcd(cfg, cmd, args[0])
			}),
	)
	return cmd
}

func etcdAction(use, short string, args cobra.PositionalArgs, do func(context.Context, config.Config, *cobra.Command, []string) error) *cobra.Command {
	cfg := config.Default()
	cmd := &cobra.Command{Use: use, Short: short, Args: args}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		abs, err := filepath.Abs(cfg.DataDir)
		if err != nil {
			return err
		}
		cfg.DataDir = abs
		return do(cmd.Context(), cfg, cmd, args)
	}
	return cmd
}

func oneFile(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return flag.Usage{Err: fmt.Errorf("%s: want one file", cmd.CommandPath())}
	}
	if args[0] == "-" {
		return flag.Usage{Err: fmt.Errorf("%s: want a file; a snapshot is neither read from a pipe nor written to one", cmd.CommandPath())}
	}
	return nil
}

// contactIn bounds the first contact with the running cluster's etcd.
const contactIn = 5 * time.Second

func withEtcd(ctx context.Context, cfg config.Config, do func(*etcd.Admin) error) error {
	if pid, err := hold.Holder(cfg.Paths()); err != nil || pid == 0 {
		return errors.Join(fmt.Errorf("no cluster runs in %s; 'sampan up --data-dir %s' starts it", cfg.DataDir, cfg.DataDir), err)
	}
	at, err := os.ReadFile(plane.EtcdEndpoint(cfg))
	if err != nil {
		return fmt.Errorf("the cluster in %s has no embedded etcd: %w", cfg.DataDir, err)
	}
	dir := filepath.Join(cfg.Paths().PKI, "etcd")
	_, roots, err := pki.ReadPool(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "healthcheck-client.crt"), filepath.Join(dir, "healthcheck-client.key"))
	if err != nil {
		return err
	}
	c, err := etcd.Connect(ctx, strings.TrimSpace(string(at)), &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}, contactIn)
	if err != nil {
		return err
	}
	defer c.Close()
	return do(c)
}

// restoreEtcd holds the data directory meanwhile, so that no cluster starts on half a database.
func restoreEtcd(cfg config.Config, cmd *cobra.Command, file string) error {
	claim, err := hold.Claim(cfg.Paths())
	if err != nil {
		return err
	}
	defer claim.Release()
	revision, err := etcd.Restore(file, cfg.DataDir)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "restored at revision %d; 'sampan up --data-dir %s' starts the cluster\n", revision, cfg.DataDir)
	return nil
}
