package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/obs"
	"sampan.dev/internal/pki"

	"github.com/spf13/cobra"
)

// upCommand is what a newcomer runs: everything on this machine.
func upCommand() *cobra.Command {
	cfg := config.Default()
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start a cluster on this machine: control plane and node",
		Args:  noArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return startCluster(cmd, cfg, true) },
	}
	serverFlagsOn(cmd, &cfg)
	cmd.Flags().IntVar(&cfg.Nodes, "nodes", cfg.Nodes, "nodes to run; each beyond the first in a network namespace of its own")
	cmd.Flags().BoolVar(&cfg.Detach, "detach", false, "return once the cluster is ready and leave it running")
	cmd.Flags().BoolVar(&cfg.NoMerge, "no-merge", false, "leave the caller's kubeconfig alone")
	return cmd
}

// serverCommand is the same for service managers: it stays in the foreground, says nothing but its log, and touches
// nobody's kubeconfig.
func serverCommand() *cobra.Command {
	cfg := config.Default()
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the control plane, and a node unless --no-node",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.NoMerge = true
			return startCluster(cmd, cfg, false)
		},
	}
	serverFlagsOn(cmd, &cfg)
	return cmd
}

func serverFlagsOn(cmd *cobra.Command, cfg *config.Config) {
	placeFlags(cmd.Flags(), cfg)
	clusterFlags(cmd.Flags(), cfg)
	nodeFlags(cmd.Flags(), cfg)
	logFlags(cmd.Flags(), cfg)
}

func startCluster(cmd *cobra.Command, cfg config.Config, show bool) error {
	if err := check(&cfg); err != nil {
		return err
	}
	if err := mayRun(cfg); err != nil {
		return err
	}
	if err := prerequisites(cfg); err != nil {
		return err
	}
	back := inBackground()
	if !back.yes() {
		running, err := makeWay(cmd.Context(), cfg.Paths(), withoutDetach(os.Args[1:]), cmd.OutOrStdout())
		if err != nil || running {
			return err
		}
	}
	if cfg.Detach {
		// Found out here, the answer does not come with the log of the cluster that runs.
		if pid, err := holder(cfg.Paths()); err == nil && pid != 0 {
			return held(cfg.Paths(), pid)
		}
		return detach(cmd.Context(), cfg, withoutDetach(os.Args[1:]), cmd.OutOrStdout())
	}
	return runHere(cmd, cfg, show, back)
}

// runHere runs the cluster in this process until it is told to stop.
func runHere(cmd *cobra.Command, cfg config.Config, show bool, back background) error {
	out := io.Writer(io.Discard)
	switch {
	case back.steps != nil:
		defer back.steps.Close()
		out = back.steps
	case show && !back.yes():
		out = cmd.OutOrStdout()
	}
	if back.yes() {
		// Every path is absolute by now; the folder it was started in is not to be held.
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	logTo := cmd.ErrOrStderr()
	if show {
		// The terminal is for the steps, if there is one at all.
		f, err := openLog(cfg, back.yes())
		if err != nil {
			return err
		}
		defer f.Close()
		logTo = f
	}
	log, err := obs.NewLogger(logTo, cfg.LogLevel, cfg.LogFormat)
	if err != nil {
		return usageError{err}
	}
	if back.restarts != "" {
		log.Warn("started again after the server had died", "ended", back.ended, "restarts", back.restarts)
	}
	err = runCluster(cmd.Context(), cfg, newSteps(out), log, func() {
		sayUp(cfg.Paths())
		if back.steps != nil {
			fmt.Fprintln(back.steps, readyMark)
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
func openLog(cfg config.Config, std bool) (*obs.File, error) {
	paths := cfg.Paths()
	if err := os.MkdirAll(paths.Data, 0o700); err != nil {
		return nil, err
	}
	return obs.OpenFile(paths.Log, std)
}

// runCluster runs everything until ctx ends or a part fails, and calls ready once, when the cluster can be used.
func runCluster(ctx context.Context, cfg config.Config, show *steps, log *slog.Logger, ready func()) error {
	paths := cfg.Paths()
	claim, err := takeClaim(paths)
	if err != nil {
		return err
	}
	defer claim.release()
	if err := keepNodeName(&cfg, log); err != nil {
		return err
	}
	if err := keepRanges(cfg); err != nil {
		return err
	}
	show.say("sampan %s, Kubernetes %s", config.Build, config.Version)
	g := daemon.NewGroup(ctx, log)
	begun := make(chan error, 1)
	go func() {
		err := begin(g, cfg, paths, show, log)
		if err == nil {
			g.Settle()
			ready()
		}
		begun <- err
	}()
	select {
	case err := <-begun:
		if err != nil {
			return stopped(g, err)
		}
	case <-g.Context().Done():
		// A part failed, or we were told to stop, before all was up. The part's own error says more.
		<-begun
	}
	return g.Wait()
}

// stopped stops a group because of an error and returns that, with what the parts say that it is not made of.
func stopped(g *daemon.Group, err error) error {
	g.Stop()
	if last := g.Wait(); last != nil && !errors.Is(err, last) {
		return errors.Join(err, last)
	}
	return err
}

// begin starts the parts in their order and returns when the cluster is ready.
func begin(g *daemon.Group, cfg config.Config, paths config.Paths, show *steps, log *slog.Logger) error {
	var machine *machine
	if cfg.Nodes > 1 && cfg.NodeIP == "" {
		cfg.NodeIP = nodeAddr(cfg, 1).String() // where the further nodes reach it
	}
	listener, err := openListener(cfg)
	if err != nil {
		return err // before anything runs that would have to be taken down again
	}
	if !cfg.NoNode {
		// The runtime takes the longest to come up and needs nobody.
		machine = startMachine(g, cfg, paths, show, log)
	}
	plane, err := startHub(g, cfg, paths, listener, show, log)
	if err != nil {
		return err
	}
	if err := startControl(g, cfg, plane, log); err != nil {
		return err
	}
	if machine != nil {
		if err := machine.startNode(g, plane.nodeSeat(cfg), show); err != nil {
			return err
		}
		if err := plane.reach(listener, machine.network.Gateway()); err != nil {
			return err
		}
		if err := labelControlPlane(g.Context(), plane, cfg); err != nil {
			return err
		}
		if err := startFurtherNodes(g, cfg, plane, show, log); err != nil {
			return err
		}
	}
	followHost(g, append(machine.follow(), plane.hostChanged)...)
	return finish(cfg, paths, show)
}

// finish writes what a person needs and says so.
func finish(cfg config.Config, paths config.Paths, show *steps) error {
	if cfg.KubeconfigOut != "" {
		data, err := os.ReadFile(paths.Kubeconfig)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(cfg.KubeconfigOut), 0o755); err != nil {
			return fmt.Errorf("--kubeconfig-out: %w", err)
		}
		if !pki.Unchanged(cfg.KubeconfigOut, data, 0o600) {
			if err := os.WriteFile(cfg.KubeconfigOut, data, 0o600); err != nil {
				return fmt.Errorf("--kubeconfig-out: %w", err)
			}
		}
	}
	show.say("ready after %s", millis(show.elapsed()))
	if !cfg.NoMerge {
		if path, err := mergeKubeconfig(cfg, paths.Kubeconfig); err != nil {
			show.say("context %q not added to your kubeconfig: %v", contextName(cfg), err)
		} else {
			show.say("context %q is in %s", contextName(cfg), path)
		}
	}
	show.say("export KUBECONFIG=%s", paths.Kubeconfig)
	return nil
}

// within waits for ch, the group's end, or the time limit.
func within(g *daemon.Group, limit time.Duration, ch <-chan struct{}, what string) error {
	select {
	case <-ch:
		return nil
	case <-g.Context().Done():
		return fmt.Errorf("%s: %w", what, context.Cause(g.Context()))
	case <-time.After(limit):
		return fmt.Errorf("%s: not within %v", what, limit)
	}
}
