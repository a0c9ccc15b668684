package main

import (
	"fmt"
	"time"

	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/pki"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

func tokenCommand() *cobra.Command {
	cfg := config.Default()
	ttl := 24 * time.Hour
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make a token that another machine joins with, and print the command for it",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if ttl <= 0 {
				return flag.Usage{Err: fmt.Errorf("--ttl %s: want a positive duration", ttl)}
			}
			if err := machine.Settle(&cfg); err != nil {
				return err
			}
			rest, err := clientcmd.BuildConfigFromFlags("", cfg.Paths().Kubeconfig)
			if err != nil {
				return fmt.Errorf("is there a cluster in %s? %w", cfg.DataDir, err)
			}
			door, err := remote.New(rest)
			if err != nil {
				return err
			}
			authority, err := pki.ParseCertificates(rest.CAData)
			if err != nil || len(authority) == 0 {
				return fmt.Errorf("the kubeconfig has no certificate authority: %w", err)
			}
			token, err := cluster.CreateToken(cmd.Context(), door, ttl)
			if err != nil {
				return fmt.Errorf("store the token: %w", err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "sampan agent --server https://%s --token %s --cluster-cidr %s --service-cidr %s\n",
				cluster.ServerAddress(cmd.Context(), door, rest.Host), cluster.JoinToken{Hash: pki.PublicKeyHash(authority[0]), Token: token}, cfg.ClusterCIDR, cfg.ServiceCIDR)
			return nil
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().DurationVar(&ttl, "ttl", ttl, "how long the token is good")
	return cmd
}
