package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"sampan.dev/internal/component/cloud"
	kcm "sampan.dev/internal/component/controllers"
	"sampan.dev/internal/component/etcd"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/konnectivity"
	"sampan.dev/internal/component/kubelet"
	"sampan.dev/internal/component/proxy"
	"sampan.dev/internal/component/scheduler"
	"sampan.dev/internal/config"
	"sampan.dev/internal/envtest"
	"sampan.dev/internal/memlimit"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// program is one of upstream's programs: a configuration that flags and a file fill, and that runs.
type program interface {
	Table() flag.Table
	Read(table flag.Table, fs *pflag.FlagSet) error
	Logger(w io.Writer) (*slog.Logger, error)
	Run(ctx context.Context, log *slog.Logger) error
}

// components are upstream's programs, each a subcommand, and what the binary is when a link of that name leads to it. A
// component's flags are made when it is run, so that they cost the other subcommands nothing.
var components = []struct {
	name, short string
	make        func() program
}{
	{"kube-apiserver", "Run the API server alone, with upstream's flags", func() program { return envtest.APIServer() }},
	{"kube-controller-manager", "Run the controllers alone, with upstream's flags", func() program { return kcm.New() }},
	{"cloud-controller-manager", "Run the loops of a cloud alone, with upstream's flags", func() program { return cloud.New() }},
	{"kube-scheduler", "Run the scheduler alone, with upstream's flags", func() program { return scheduler.New() }},
	{"kubelet", "Run the kubelet alone, with upstream's flags", func() program { return kubelet.New() }},
	{"konnectivity-server", "Run Konnectivity's server alone, with the flags of upstream's proxy-server", func() program { return konnectivity.NewServer() }},
	{"konnectivity-agent", "Run Konnectivity's agent alone, with the flags of upstream's proxy-agent", func() program { return konnectivity.NewAgent() }},
	{"kube-proxy", "Run the proxy alone, with upstream's flags", func() program { return proxy.New() }},
	{etcdAlone, "Run an etcd of one member alone, for test suites (a link named etcd leads here)", func() program { return etcd.New() }},
}

// etcdAlone is the subcommand that a link named etcd leads to; `sampan etcd` looks after the embedded one.
const etcdAlone = "etcd-server"

func componentCommands() []*cobra.Command {
	var out []*cobra.Command
	for _, c := range components {
		out = append(out, &cobra.Command{
			Use: c.name, Short: c.short, DisableFlagParsing: true,
			RunE: func(cmd *cobra.Command, args []string) error {
				return runComponent(cmd, c.name, c.make(), args)
			},
		})
	}
	return out
}

// asComponent is the command line of a program that was called by a component's name.
func asComponent(args []string) []string {
	name := filepath.Base(args[0])
	if name == "etcd" {
		name = etcdAlone
	}
	for _, c := range components {
		if c.name == name {
			return append([]string{name}, args[1:]...)
		}
	}
	return args[1:]
}

func runComponent(cmd *cobra.Command, name string, c program, args []string) error {
	table := c.Table()
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	table.Add(fs)
	flag.Removed(fs)
	version := fs.Bool("version", false, "say which version this is")
	fs.Usage = func() {}
	switch err := flag.Parse(fs, args); {
	case errors.Is(err, pflag.ErrHelp):
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "Usage: %s [flags]\n\n%s", name, fs.FlagUsages())
		return err
	case err != nil:
		return err
	case *version:
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "Kubernetes", config.Version)
		return err
	}
	if err := c.Read(table, fs); err != nil {
		return err
	}
	log, err := c.Logger(cmd.ErrOrStderr())
	if err != nil {
		return flag.Usage{Err: err}
	}
	log = log.With("component", name)
	table.Note(log)
	memlimit.Apply()
	if err := c.Run(cmd.Context(), log); err != nil && cmd.Context().Err() == nil {
		return err
	}
	return nil // done, or told to stop
}
