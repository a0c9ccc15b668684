package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/config"
	"sampan.dev/internal/control"
	"sampan.dev/internal/status"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
)

// controllersCommand says what each controller reads and writes, what waits for it and what went wrong last.
func controllersCommand() *cobra.Command {
	cfg := config.Default()
	var output string
	cmd := &cobra.Command{
		Use:   "controllers",
		Short: "Say of each controller what it reads and writes, what waits in its queue, and its last error",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			dir, err := filepath.Abs(cfg.DataDir)
			if err != nil {
				return err
			}
			s, err := status.Brief(dir)
			if err != nil {
				return err
			}
			if s.PID == 0 {
				return show(io.Discard, s, "")
			}
			admin, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "admin.kubeconfig"))
			if err != nil {
				return fmt.Errorf("the controllers run beside the API server: %w", err)
			}
			body, code, err := status.Raw(cmd.Context(), admin, "/debug/controllers")
			if err != nil {
				return err
			}
			var all []control.Report
			if code != http.StatusOK || json.Unmarshal([]byte(body), &all) != nil {
				return fmt.Errorf("%s/debug/controllers: %d %s", admin.Host, code, strings.TrimSpace(body))
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), all)
			}
			return writeControllers(cmd.OutOrStdout(), all, time.Now())
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	outputFlag(cmd, &output)
	return cmd
}

func writeControllers(w io.Writer, all []control.Report, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "CONTROLLER\tRUNS\tDUE\tLATER\tFAILING\tREADS\tWRITES\tLAST ERROR")
	for _, c := range all {
		runs, last := "no", "-"
		if c.Running {
			runs = "yes"
		}
		if c.At != nil {
			last = fmt.Sprintf("%s ago, %s: %s", now.Sub(*c.At).Round(time.Second), c.Key, c.Error)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", strings.TrimSuffix(c.Name, "-controller"), runs, c.Due+c.Taken, c.Delayed, c.Failing,
			strings.Join(c.Reads, ","), strings.Join(c.Writes, ","), last)
	}
	return t.Flush()
}
