package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/machine"
	"sampan.dev/internal/machine/install"
	"sampan.dev/internal/obs"

	"github.com/spf13/cobra"
)

// installCommand puts sampan into the places of this machine, with a unit for systemd.
func installCommand() *cobra.Command {
	var p install.Plan
	var noStart bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Install sampan and what belongs beside it on this machine, with a unit for systemd",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg := config.Default()
			if err := planFrom(&p, cfg); err != nil {
				return err
			}
			paths, err := p.Install()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			for _, path := range paths {
				fmt.Fprintln(out, "installed", path)
			}
			switch {
			case p.Root != "":
				return nil
			case !underSystemd():
				_, err = fmt.Fprintln(out, "systemd does not run here: 'sampan up --detach' starts a cluster")
				return err
			case noStart:
				_, err = fmt.Fprintln(out, "'systemctl enable --now sampan' starts it, now and when the machine does")
				return err
			}
			if err := runTool(cmd, "systemctl", "daemon-reload"); err != nil {
				return err
			}
			return runTool(cmd, "systemctl", "enable", "--now", "sampan")
		},
	}
	installFlags(cmd, &p)
	cmd.Flags().BoolVar(&p.Agent, "agent", false, "the unit runs 'sampan agent', with --server and --token from /etc/sampan/config.yaml")
	cmd.Flags().BoolVar(&noStart, "no-start", false, "leave it to you to start the unit")
	return cmd
}

func installFlags(cmd *cobra.Command, p *install.Plan) {
	cmd.Flags().StringVar(&p.Prefix, "prefix", "/usr/local", "the programs go to PREFIX/lib/sampan, with a link in PREFIX/bin")
	cmd.Flags().StringVar(&p.Root, "root", "", "folder that stands for the machine's root, while a package is made")
}

// planFrom finds the programs that are installed: those beside this one.
func planFrom(p *install.Plan, cfg config.Config) error {
	if !filepath.IsAbs(p.Prefix) {
		return flag.Usage{Err: fmt.Errorf("--prefix %q: want an absolute path", p.Prefix)}
	}
	if missing := machine.Programs(cfg); len(missing) > 0 {
		return errors.Join(missing...)
	}
	p.From = cfg.Paths().Bin
	for _, name := range install.Programs {
		if _, err := os.Stat(filepath.Join(p.From, name)); err == nil {
			p.Names = append(p.Names, name)
		}
	}
	return nil
}

// uninstallCommand takes away what install put there, with the cluster that ran, and proves it.
func uninstallCommand() *cobra.Command {
	var p install.Plan
	var purge bool
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Take away what install put on this machine, and what the cluster made on it; the data stays unless --purge",
		Args:  cluster.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			paths, err := p.Installed()
			if err != nil {
				return err
			}
			if len(paths) == 0 {
				return fmt.Errorf("nothing is installed below %s: there is no %s", p.Prefix, filepath.Join(p.Root, p.Record()))
			}
			var errs []error
			places := paths
			if p.Root == "" {
				if underSystemd() {
					errs = append(errs, runTool(cmd, "systemctl", "disable", "--now", "sampan"))
				}
				made, err := takeCluster(cmd, purge)
				errs, places = append(errs, err), append(places, made...)
			}
			removed, err := p.Remove()
			for _, path := range removed {
				fmt.Fprintln(cmd.OutOrStdout(), "removed", path)
			}
			if p.Root == "" && underSystemd() {
				errs = append(errs, runTool(cmd, "systemctl", "daemon-reload"))
			}
			return errors.Join(append(errs, err, prove(cmd.OutOrStdout(), p, places))...)
		},
	}
	installFlags(cmd, &p)
	cmd.Flags().BoolVar(&purge, "purge", false, "erase the cluster's data too")
	return cmd
}

// takeCluster ends the cluster in the default place and returns the places that must be gone then.
func takeCluster(cmd *cobra.Command, purge bool) ([]string, error) {
	cfg := config.Default()
	if err := machine.Settle(&cfg); err != nil {
		return nil, err
	}
	log, err := obs.NewLogger(cmd.ErrOrStderr(), "warn", "text")
	if err != nil {
		return nil, err
	}
	if err := machine.Down(cmd.Context(), cfg, log); err != nil {
		return nil, err
	}
	paths := cfg.Paths()
	if !purge {
		return []string{paths.Run}, nil
	}
	if err := machine.Ours(cfg); err != nil {
		return nil, err
	}
	return []string{paths.Run, paths.Data, paths.KubeletRoot, paths.PodLogs, paths.ContainerLogs}, machine.Purge(cfg)
}

// prove looks again for what was to be gone.
func prove(w io.Writer, p install.Plan, places []string) error {
	left := p.Left(places, "/proc")
	for _, what := range left {
		fmt.Fprintln(w, "left   ", what)
	}
	if len(left) > 0 {
		return fmt.Errorf("%d things are left", len(left))
	}
	_, err := fmt.Fprintf(w, "looked again at %d places and at all processes: nothing is left\n", len(places)+1)
	return err
}

// underSystemd reports whether systemd manages this machine, as sd_booted(3) finds out.
func underSystemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// runTool runs a program with this one's input and outputs.
func runTool(cmd *cobra.Command, name string, args ...string) error {
	c := exec.CommandContext(cmd.Context(), name, args...)
	c.Stdin, c.Stdout, c.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := c.Run(); err != nil {
		return fmt.Errorf("%s %v: %w", name, args, err)
	}
	return nil
}
