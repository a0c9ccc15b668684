package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"sampan.dev/internal/component/apiserver"
	kcm "sampan.dev/internal/component/controllers"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/component/kubelet"
	"sampan.dev/internal/component/proxy"
	"sampan.dev/internal/component/scheduler"
	"sampan.dev/internal/config"
	"sampan.dev/internal/memlimit"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// component is one of upstream's programs: a configuration that flags and a file fill, and that runs.
type component interface {
	Table() flag.Table
	Read(table flag.Table, fs *pflag.FlagSet) error
	Logger(w io.Writer) (*slog.Logger, error)
	Run(ctx context.Context, log *slog.Logger) error
}

// components are upstream's programs, each a subcommand, and what the binary is when a link of that name leads to it. A
// component's flags are made when it is run, so that they cost the other subcommands nothing.
var components = []struct {
	name, short string
	make        func() component
}{
	{"kube-apiserver", "Run the API server alone, with upstream's flags", func() component { return apiserver.New() }},
	{"kube-controller-manager", "Run the controllers alone, with upstream's flags", func() component { return kcm.New() }},
	{"kube-scheduler", "Run the scheduler alone, with upstream's flags", func() component { return scheduler.New() }},
	{"kubelet", "Run the kubelet alone, with upstream's flags", func() component { return kubelet.New() }},
	{"kube-proxy", "Run the proxy alone, with upstream's flags", func() component { return proxy.New() }},
}

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
	for _, c := range components {
		if c.name == name {
			return append([]string{name}, args[1:]...)
		}
	}
	return args[1:]
}

func runComponent(cmd *cobra.Command, name string, c component, args []string) error {
	table := c.Table()
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	table.Add(fs)
	version := fs.Bool("version", false, "say which version this is")
	fs.Usage = func() {}
	switch err := flag.Parse(fs, args); {
	case errors.Is(err, pflag.ErrHelp):
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "Usage: %s [flags]\n\n%s", name, fs.FlagUsages())
		return err
	case err != nil:
		return usage(err)
	case *version:
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "Kubernetes", config.Version)
		return err
	}
	if err := c.Read(table, fs); err != nil {
		return usage(err)
	}
	log, err := c.Logger(cmd.ErrOrStderr())
	if err != nil {
		return usageError{err}
	}
	log = log.With("component", name)
	table.Note(log)
	memlimit.Apply()
	return usage(c.Run(cmd.Context(), log))
}

// usage makes a component's error of usage one of this program's.
func usage(err error) error {
	var wrong flag.Usage
	if errors.As(err, &wrong) {
		return usageError{err}
	}
	return err
}
