package cluster

import (
	"fmt"

	"sampan.dev/internal/component/flag"

	"github.com/spf13/cobra"
)

// NoArgs refuses arguments as wrong usage.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return flag.Usage{Err: fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0])}
	}
	return nil
}
