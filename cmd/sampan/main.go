// An idle process need not look every second how many processors its cgroup has.
//
//go:debug updatemaxprocs=0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"sampan.dev/internal/cluster"
	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/config"
	"sampan.dev/internal/settings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/klog/v2"
)

// Exit codes: fine, failed, wrong usage.
const (
	exitFine   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	klog.SetLogger(logr.Discard()) // what libraries say there is said again, better, by those who call them
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, asComponent(os.Args))
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use:           "sampan",
		Short:         "A whole Kubernetes in one program",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.Version = config.Build + ", Kubernetes " + config.Version
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flag.Usage{Err: err} })
	root.AddCommand(
		upCommand(),
		statusCommand(),
		whyCommand(),
		listCommand(),
		logsCommand(),
		doctorCommand(),
		controllersCommand(),
		kubeconfigCommand(),
		serverCommand(),
		agentCommand(),
		downCommand(),
		purgeCommand(),
		tokenCommand(),
		imageCommand(),
		etcdCommand(),
		envtestCommand(),
		kubectlCommand(),
		installCommand(),
		uninstallCommand(),
		versionCommand(),
	)
	root.AddCommand(componentCommands()...)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return settings.Apply(cmd.Flags(), settable(root)) }
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitFine
	}
	var exit exitStatus
	if errors.As(err, &exit) {
		return int(exit)
	}
	fmt.Fprintln(os.Stderr, "sampan:", err)
	if then := cluster.Advice(err); then != "" {
		fmt.Fprintln(os.Stderr, "  "+then)
	}
	var usage flag.Usage
	if errors.As(err, &usage) || isUnknownCommand(err) {
		fmt.Fprintf(os.Stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// settable are the flags that a configuration file and the environment may set.
func settable(root *cobra.Command) map[string]bool {
	var sets []*pflag.FlagSet
	for _, c := range root.Commands() {
		if name := c.Name(); name == "up" || name == "server" || name == "agent" {
			sets = append(sets, c.Flags())
		}
	}
	return settings.Known(sets...)
}

// exitStatus passes on the status of a program that was run in our place.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// isUnknownCommand recognises cobra's error for a subcommand that does not exist; cobra gives it no type.
func isUnknownCommand(err error) bool {
	return len(err.Error()) > 15 && err.Error()[:15] == "unknown command"
}
