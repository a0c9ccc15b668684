package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/logs"
	"sampan.dev/internal/settings"
	"sampan.dev/internal/status"

	"github.com/spf13/cobra"
)

// logsCommand shows the log of a cluster, or of one part of it.
func logsCommand() *cobra.Command {
	cfg := config.Default()
	var follow bool
	var since string
	cmd := &cobra.Command{
		Use:   "logs [part]",
		Short: "Show the log of the cluster, or what one part of it said",
		Long: "Show the log of the cluster, or what one part of it said: hub, scheduler, kubelet, network, dns, …, a controller\n" +
			"('deployment'), all of them ('controllers'), containerd, the node of an `up --separate` ('node'), or a further node of `up --nodes` by its number.",
		Example: "  sampan logs -f\n  sampan logs kubelet --since 10m\n  sampan logs controllers",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := sinceTime(since, time.Now())
			if err != nil {
				return flag.Usage{Err: err}
			}
			dir, err := filepath.Abs(cfg.DataDir)
			if err != nil {
				return err
			}
			q := logs.Query{Since: from, Follow: follow}
			if len(args) == 1 {
				q.Part = args[0]
			}
			return showLog(cmd, dir, q)
		},
	}
	cluster.PlaceFlags(cmd.Flags(), &cfg)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is added, until Ctrl-C")
	cmd.Flags().StringVar(&since, "since", "", "only what is younger: a duration (10m) or a time (2026-11-30T08:00:00Z)")
	return cmd
}

// showLog finds the file that has what was asked for. containerd and further nodes have logs of their own.
func showLog(cmd *cobra.Command, dir string, q logs.Query) error {
	s, err := status.Brief(dir)
	if err != nil {
		return err
	}
	if s.State == status.Absent {
		return show(cmd.OutOrStdout(), s, "")
	}
	file := filepath.Join(dir, "sampan.log")
	_, number := strconv.Atoi(q.Part)
	switch {
	case q.Part == "containerd":
		file, q = filepath.Join(dir, "containerd", "containerd.log"), logs.Query{Follow: q.Follow, Since: q.Since}
	case s.NodePID != 0 && slices.Contains(nodeParts, q.Part):
		file = s.NodeLog
		if q.Part == "node" {
			q.Part = ""
		}
	case number == nil:
		file, q.Part = filepath.Join(dir, "nodes", q.Part, "sampan.log"), ""
	case s.PID != 0 && s.Log == "":
		return fmt.Errorf("process %d ('sampan %s') logs to where it was started, and keeps no file; under systemd: 'journalctl -u sampan'", s.PID, s.Command)
	case s.Log != "":
		file = s.Log
	}
	err = logs.Copy(cmd.Context(), cmd.OutOrStdout(), file, q)
	var none logs.NoSuchPart
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no log in %s: %w", dir, err)
	case errors.As(err, &none):
		if near := settings.Nearest(none.Part, none.Has); near != "" {
			return fmt.Errorf("%w; did you mean %q?", err, near)
		}
	}
	return err
}

// nodeParts are what a node that is a process of its own logs about, and "node" for all of it.
var nodeParts = []string{"node", "kubelet", "network", "proxy", "dns", "runtime", "credential"}

// sinceTime is the time that --since means.
func sinceTime(since string, now time.Time) (time.Time, error) {
	if since == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(since); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339, since); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("--since %q: want a duration such as 10m, or a time such as %s", since, now.UTC().Format(time.RFC3339))
}
