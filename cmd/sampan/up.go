package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/suite"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/hold"
	"sampan.dev/internal/machine/steps"
	"sampan.dev/internal/machine/supervisor"
	"sampan.dev/internal/obs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// upCommand is what a newcomer runs: everything on this machine.
func upCommand() *cobra.Command {
	cfg := suite.New()
	onlyNode := ""
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster on this machine: control plane and node",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if onlyNode != "" {
				return runNode(cmd, cfg)
			}
			return startCluster(cmd, cfg, true)
		},
	}
	serverFlagsOn(cmd, &cfg)
	cmd.Flags().IntVar(&cfg.Nodes, "nodes", cfg.Nodes, "nodes to run; each beyond the first in a network namespace of its own")
	cmd.Flags().BoolVar(&cfg.Detach, "detach", false, "return once the cluster is ready and leave it running")
	cmd.Flags().BoolVar(&cfg.Separate, "separate", false, "run the node in a process of its own: kubelet, proxy and DNS go on while the control plane is away")
	cmd.Flags().StringVar(&onlyNode, onlyNodeFlag, "", "be that process, with settings of this hash")
	_ = cmd.Flags().MarkHidden(onlyNodeFlag) // for ourselves
	cmd.Flags().BoolVar(&cfg.NoMerge, "no-merge", false, "leave the caller's kubeconfig alone")
	return cmd
}

// serverCommand is the same for service managers: it stays in the foreground, says nothing but its log, and touches
// nobody's kubeconfig.
func serverCommand() *cobra.Command {
	cfg := suite.New()
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane, and a node unless --no-node",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.NoMerge = true
			return startCluster(cmd, cfg, false)
		},
	}
	serverFlagsOn(cmd, &cfg)
	return cmd
}

func serverFlagsOn(cmd *cobra.Command, cfg *suite.Config) {
	cluster.PlaceFlags(cmd.Flags(), &cfg.Config)
	cfg.ClusterFlags(cmd.Flags())
	cfg.BalancerFlags(cmd.Flags())
	cfg.NodeFlags(cmd.Flags())
	cluster.LogFlags(cmd.Flags(), &cfg.Config)
}

// onlyNodeFlag makes `up` the node's process of a cluster with --separate; all other flags are the cluster's. Its value changes with
// theirs, also where those come from a file or the environment, so that a node of other settings is known by its arguments.
const onlyNodeFlag = "only-node"

// onlyNode are the arguments that make this command the node's process.
func onlyNode(cmd *cobra.Command) []string {
	h := sha256.New()
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Name != onlyNodeFlag && f.Name != "detach" {
			fmt.Fprintf(h, "%s=%s\x00", f.Name, f.Value)
		}
	})
	return append(withoutDetach(os.Args[1:]), fmt.Sprintf("--%s=%x", onlyNodeFlag, h.Sum(nil)[:8]))
}

// settle completes what the command line says and finds out whether this machine can do it.
func settle(cfg *suite.Config) error {
	if err := machine.SettleRanges(&cfg.Config); err != nil {
		return err
	}
	if err := cfg.Check(); err != nil {
		return err
	}
	if err := mayRun(cfg.Config); err != nil {
		return err
	}
	return machine.Prerequisites(cfg.Config, cfg.Proxy.Mode)
}

func startCluster(cmd *cobra.Command, cfg suite.Config, show bool) error {
	if err := settle(&cfg); err != nil {
		return err
	}
	supervisor.Begin()
	back := hold.InBackground()
	if !back.Yes() {
		running, err := hold.MakeWay(cmd.Context(), cfg.Paths(), withoutDetach(os.Args[1:]), cmd.OutOrStdout())
		if err != nil || running {
			return err
		}
	}
	if (cfg.Detach || cfg.Separate) && !back.Yes() { // a file or the environment says it to the process there too
		return runThere(cmd, cfg)
	}
	return runHere(cmd, cfg, show, back)
}

// runThere runs the cluster in the background. With --separate it waits there until it is told to stop, unless --detach says otherwise:
// a server that is to come back by itself needs a keeper.
func runThere(cmd *cobra.Command, cfg suite.Config) error {
	paths, args := cfg.Paths(), withoutDetach(os.Args[1:])
	// Found out here, the answer does not come with the log of the cluster that runs.
	if pid, err := hold.Holder(paths); err == nil && pid != 0 {
		return hold.Held(paths, pid)
	}
	before, err := hold.Holder(paths.Apart())
	if err != nil {
		return err
	}
	if cfg.Detach {
		err = hold.Detach(cmd.Context(), paths, args, cmd.OutOrStdout())
	} else {
		err = hold.Attend(cmd.Context(), paths, args, cmd.OutOrStdout())
	}
	if err != nil && before == 0 { // the node that was started for a cluster which did not come up
		err = errors.Join(err, hold.StopKept(context.WithoutCancel(cmd.Context()), paths.Apart()))
	}
	return err
}

// runNode runs the node of a cluster whose control plane is another process, until it is told to stop.
func runNode(cmd *cobra.Command, cfg suite.Config) error {
	if err := settle(&cfg); err != nil {
		return err
	}
	back := hold.InBackground()
	if err := os.Chdir("/"); err != nil {
		return err
	}
	paths := cfg.Paths().Apart()
	f, err := openLog(paths, true)
	if err != nil {
		return err
	}
	defer f.Close()
	log, err := obs.NewLogger(f, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return flag.Usage{Err: err}
	}
	back.Note(log)
	err = cluster.RunNode(cmd.Context(), cfg, log, func() { hold.SayUp(paths) })
	if err != nil {
		log.Error("stopped", "error", err)
	}
	return err
}

// runHere runs the cluster in this process until it is told to stop.
func runHere(cmd *cobra.Command, cfg suite.Config, show bool, back hold.Background) error {
	out := io.Writer(io.Discard)
	switch {
	case back.Steps != nil:
		defer back.Steps.Close()
		out = back.Steps
	case show && !back.Yes():
		out = cmd.OutOrStdout()
	}
	beside := hold.Beside{Paths: cfg.Paths().Apart(), Args: onlyNode(cmd)}
	var err error
	if beside.Dir, err = os.Getwd(); err != nil {
		return err
	}
	if back.Yes() {
		// Every path is absolute by now; the folder it was started in is not to be held.
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	logTo := cmd.ErrOrStderr()
	if show {
		// The terminal is for the steps, if there is one at all.
		f, err := openLog(cfg.Paths(), back.Yes())
		if err != nil {
			return err
		}
		defer f.Close()
		logTo = f
	}
	log, err := obs.NewLogger(logTo, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return flag.Usage{Err: err}
	}
	back.Note(log)
	err = cluster.Run(cmd.Context(), cfg, beside, steps.New(out), log, func() {
		hold.SayUp(cfg.Paths())
		supervisor.Ready(cmd.Context())
		if back.Steps != nil {
			fmt.Fprintln(back.Steps, hold.ReadyMark)
		}
	})
	if err != nil {
		log.Error("stopped", "error", err)
	}
	return err
}

// mayRun says what is possible without root.
func mayRun(cfg config.Config) error {
	if os.Geteuid() == 0 || cfg.NoNode {
		return nil
	}
	return errors.New("a node needs root: namespaces, mounts, cgroups and packet filters are made for its pods.\n" +
		"  as root:      sudo sampan up\n" +
		"  without root: sampan up --no-node --data-dir ~/.local/share/sampan   (API server, scheduler and controllers, no containers)")
}

func withoutDetach(args []string) []string {
	var out []string
	for _, a := range args {
		if a != "--detach" && a != "--detach=true" {
			out = append(out, a)
		}
	}
	return out
}

// openLog opens the log file; std makes it the place of what is written to standard output and error too, as what a dying
// process says.
func openLog(paths config.Paths, std bool) (*obs.File, error) {
	if err := os.MkdirAll(paths.Data, 0o700); err != nil {
		return nil, err
	}
	return obs.OpenFile(paths.Log, std)
}
