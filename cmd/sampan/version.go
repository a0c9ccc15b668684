package main

import (
	"fmt"
	"runtime"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/config"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the versions of sampan and of the Kubernetes it implements",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "sampan %s\nKubernetes %s\n%s %s/%s\n",
				config.Build, config.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
