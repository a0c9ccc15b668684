package main

import (
	"fmt"
	"path/filepath"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"

	"github.com/spf13/cobra"
)

// kubeconfigCommand prints the administrator's kubeconfig, or adds it to the caller's.
func kubeconfigCommand() *cobra.Command {
	cfg := config.Default()
	var ask machine.KubeconfigRequest
	cmd := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the administrator's kubeconfig, or --merge it into yours",
		Example: "  sampan kubeconfig > ~/.kube/sampan\n" +
			"  sampan kubeconfig --merge && kubectl --context sampan get nodes\n" +
			"  sampan kubeconfig --server https://192.0.2.7:6443 > for-another-machine",
		Args: cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := filepath.Abs(cfg.DataDir)
			if err != nil {
				return err
			}
			cfg.DataDir = dir
			if ask.Current && !ask.Merge {
				return flag.Usage{Err: fmt.Errorf("--current is for --merge: what is printed has one context only")}
			}
			out, err := machine.Kubeconfig(cfg, ask)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), out)
			return err
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().BoolVar(&ask.Merge, "merge", false, "add it as a context to your own kubeconfig ($KUBECONFIG, or ~/.kube/config) instead of printing it")
	cmd.Flags().BoolVar(&ask.Current, "current", false, "with --merge: make that context the current one, whichever is")
	cmd.Flags().StringVar(&ask.Context, "context", "", "what to call the context (default sampan, or sampan-NAME)")
	cmd.Flags().StringVar(&ask.Server, "server", "", "URL of the API server, as another machine reaches it (a name or address of its certificate: --tls-san of 'sampan up' adds one)")
	return cmd
}
