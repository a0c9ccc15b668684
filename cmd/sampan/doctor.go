package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/config"
	"sampan.dev/internal/doctor"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/tty"

	"github.com/spf13/cobra"
)

// doctorCommand looks the machine over. It fails when something keeps a cluster from working.
func doctorCommand() *cobra.Command {
	cfg := config.Default()
	var output string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look this machine over for what hinders a cluster, and say what mends each finding",
		Long: "Look this machine over for what hinders a cluster, and say what mends each finding. Nothing is changed.\n\n" +
			"The exit code is 1 when something keeps a cluster from working, else 0, also when there are warnings.",
		Args: cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if err := machine.Settle(&cfg); err != nil {
				return err
			}
			found := doctor.Examine(doctor.Look(cmd.Context(), cfg))
			var err error
			if output == "json" {
				err = printJSON(cmd.OutOrStdout(), found)
			} else {
				err = tell(cmd.OutOrStdout(), found)
			}
			if err == nil && doctor.Worst(found) == doctor.Fail {
				err = errors.New("a cluster cannot work here as this machine is")
			}
			return err
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().StringVar(&cfg.Listen, "listen", cfg.Listen, "ADDR:PORT of the API server")
	cmd.Flags().StringVar(&cfg.ClusterCIDR, "cluster-cidr", "", "range of the pods' addresses")
	cmd.Flags().StringVar(&cfg.ServiceCIDR, "service-cidr", "", "range of the services' addresses")
	cmd.Flags().BoolVar(&cfg.NoNode, "no-node", os.Geteuid() != 0, "look at what a control plane alone needs (the default for an ordinary user)")
	outputFlag(cmd, &output)
	return cmd
}

// tell prints findings, with what mends them.
func tell(w io.Writer, found []doctor.Finding) error {
	p := tty.For(w)
	colours := map[doctor.Level]tty.Colour{doctor.OK: tty.Good, doctor.Warn: tty.Warn, doctor.Fail: tty.Bad}
	for _, f := range found {
		if _, err := fmt.Fprintf(w, "%s %-14s %s\n", p.Paint(colours[f.Level], fmt.Sprintf("%-4s", f.Level)), f.Check, f.What); err != nil {
			return err
		}
		if f.Mend != "" {
			fmt.Fprintf(w, "%s%s\n", "                    → ", f.Mend)
		}
	}
	return nil
}
