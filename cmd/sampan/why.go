package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/why"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

// whyCommand says what keeps an object from being as it was asked for.
func whyCommand() *cobra.Command {
	cfg := config.Default()
	var output, namespace, kubeconfig string
	cmd := &cobra.Command{
		Use:   "why KIND/NAME",
		Short: "Say what keeps a pod, deploy, ns, pvc, svc or node from being as it was asked for, and what would help",
		Long: "Say what keeps a pod, deploy, ns, pvc, svc or node from being as it was asked for, and the smallest change that would help.\n\n" +
			"It asks the cluster that $KUBECONFIG names, or --kubeconfig, or else the one of the data directory. The exit code is 0 whatever\n" +
			"the answer is.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return flag.Usage{Err: errors.New("one KIND/NAME is wanted, such as pod/web-0")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			kind, name, err := why.Parse(args[0])
			if err != nil {
				return flag.Usage{Err: err}
			}
			rules := clientcmd.NewDefaultClientConfigLoadingRules()
			if rules.ExplicitPath = kubeconfig; kubeconfig == "" && os.Getenv("KUBECONFIG") == "" {
				rules.ExplicitPath = filepath.Join(cfg.DataDir, "admin.kubeconfig")
			}
			loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{})
			rc, err := loaded.ClientConfig()
			if err != nil {
				return fmt.Errorf("which cluster is asked: %w", err)
			}
			if namespace == "" {
				if namespace, _, err = loaded.Namespace(); err != nil {
					return err
				}
			}
			door, err := remote.New(rc)
			if err != nil {
				return err
			}
			answer, err := why.Ask(cmd.Context(), door, kind, namespace, name, time.Now())
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), answer)
			}
			return answer.Write(cmd.OutOrStdout())
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "where the object is (default: the kubeconfig's)")
	cmd.Flags().StringVar(&kubeconfig, "kubeconfig", "", "which cluster, and as whom")
	outputFlag(cmd, &output)
	return cmd
}
