package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine/site"
	"sampan.dev/internal/status"
	"sampan.dev/internal/tty"

	"github.com/spf13/cobra"
)

// statusCommand says how a cluster is. It fails when none runs.
func statusCommand() *cobra.Command {
	cfg := config.Default()
	var output, node string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how the cluster, or the node of one elsewhere, is: its parts, nodes, addresses, versions and ports",
		Long: "Say how the cluster, or the node of one elsewhere, is: its parts, nodes, addresses, versions and ports.\n\n" +
			"The exit code is 0 when it runs and 1 when it does not, or is still starting.",
		Args: cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := filepath.Abs(cfg.DataDir)
			if err != nil {
				return err
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			if node != "" {
				s, err := status.Brief(dir)
				if err == nil && (s.State == status.Running || s.State == status.Starting) {
					return showNode(cmd, s, node, output)
				}
			}
			s, err := status.Gather(cmd.Context(), dir)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), s, output)
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().StringVar(&node, "node", "", "of this node only: its kubelet, container runtime and kube-proxy")
	outputFlag(cmd, &output)
	return cmd
}

// showNode prints how the components of a node are, and makes an error of one that is ill.
func showNode(cmd *cobra.Command, s *status.Status, node, output string) error {
	all, err := s.AskNode(cmd.Context(), node)
	if err != nil {
		return err
	}
	if output == "json" {
		err = printJSON(cmd.OutOrStdout(), all)
	} else {
		err = status.WriteComponents(cmd.OutOrStdout(), all)
	}
	for _, c := range all {
		if err == nil && !c.Well() {
			err = fmt.Errorf("%s of %s: %s", c.Name, node, c.Health)
		}
	}
	return err
}

// show prints a status and makes an error of one that is not what was hoped for.
func show(w io.Writer, s *status.Status, output string) error {
	var err error
	switch {
	case output == "json":
		err = printJSON(w, s)
	case s.State != status.Absent:
		err = s.Write(w, tty.For(w), time.Now())
	}
	if err != nil {
		return err
	}
	switch s.State {
	case status.Absent:
		return fmt.Errorf("there is no cluster in %s; 'sampan up' makes one, 'sampan list' names those there are", s.DataDir)
	case status.Stopped:
		return fmt.Errorf("the cluster in %s does not run; 'sampan up --data-dir %s' starts it", s.DataDir, s.DataDir)
	case status.Starting:
		return errors.New("it is still starting")
	}
	return nil
}

// listCommand names the clusters of this machine.
func listCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the clusters of this machine, whether they run or not",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			all := []*status.Status{} // none is a list too
			for _, at := range site.All() {
				s, err := status.Brief(at.Dir)
				if s == nil {
					return err
				}
				s.Name = at.Name // what could not be looked into says so by its state
				all = append(all, s)
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), all)
			}
			if len(all) == 0 {
				_, err := fmt.Fprintln(cmd.ErrOrStderr(), "no clusters on this machine; 'sampan up' makes one")
				return err
			}
			return status.WriteList(cmd.OutOrStdout(), all, time.Now())
		},
	}
	outputFlag(cmd, &output)
	return cmd
}

func outputFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "output", "o", "", "json, for programs; else words")
}

func checkOutput(output string) error {
	if output != "" && output != "json" {
		return flag.Usage{Err: fmt.Errorf("--output %q: want json, or nothing", output)}
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
