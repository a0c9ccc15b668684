package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/envtest"

	"github.com/spf13/cobra"
)

// envtestCommand makes the folder that controller-runtime's envtest takes programs from.
func envtestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "envtest DIR",
		Short: "Make a folder of programs for controller-runtime's envtest (KUBEBUILDER_ASSETS)",
		Long: "Make DIR a folder that controller-runtime's envtest takes for KUBEBUILDER_ASSETS: kube-apiserver and etcd, which lead to this program, and kubectl.\n" +
			"With " + envtest.Variable + "=on in the environment of the tests, namespaces are really deleted and garbage is collected.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return flag.Usage{Err: fmt.Errorf("%s: want one folder", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			cfg := config.Default()
			kubectl := filepath.Join(cfg.Paths().Bin, "kubectl")
			if _, err := os.Stat(kubectl); err != nil {
				if kubectl, err = exec.LookPath("kubectl"); err != nil {
					return fmt.Errorf("no kubectl beside sampan and none in PATH; 'make build' makes one")
				}
			}
			if err := envtest.Assets(dir, program, kubectl); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "export KUBEBUILDER_ASSETS=%s\n", dir)
			return nil
		},
	}
}
