package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/config"
	"sampan.dev/internal/settings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// kubectlCommand runs the kubectl that make puts beside sampan; linking it in would triple the binary. Without
// KUBECONFIG it talks to the cluster that the environment or the configuration file names, else to that of the default data directory.
func kubectlCommand() *cobra.Command {
	return &cobra.Command{
		Use:                "kubectl [arguments]",
		Short:              "Run the kubectl beside this program against the cluster",
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := config.Default()
			place := pflag.NewFlagSet("kubectl", pflag.ContinueOnError) // kubectl's own flags are not ours to read
			cluster.PlaceFlags(place, &c)
			if err := settings.Apply(place, settable(cmd.Root())); err != nil {
				return err
			}
			paths := c.Paths()
			path := filepath.Join(paths.Bin, "kubectl")
			if _, err := os.Stat(path); err != nil {
				if path, err = exec.LookPath("kubectl"); err != nil {
					return fmt.Errorf("no kubectl beside sampan (%s) and none in PATH; 'make build' makes one", paths.Bin)
				}
			}
			k := exec.CommandContext(cmd.Context(), path, args...)
			k.Stdin, k.Stdout, k.Stderr = os.Stdin, os.Stdout, os.Stderr
			k.Env = os.Environ()
			if os.Getenv("KUBECONFIG") == "" {
				k.Env = append(k.Env, "KUBECONFIG="+paths.Kubeconfig)
			}
			err := k.Run()
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				return exitStatus(exit.ExitCode())
			}
			return err
		},
	}
}
