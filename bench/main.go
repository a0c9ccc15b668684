package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sampan.dev/bench/load"
	"sampan.dev/bench/part"
	"sampan.dev/bench/side"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "load" {
		os.Exit(load.Main(os.Args[2:]))
	}
	err := run(os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil {
		os.Exit(1)
	}
}

// options are the driver's flags.
type options struct {
	sampan, out, scripts, lab string
	more                      string
	port, pairs               int
	peer, alone, profile      bool
	size                      part.Size
	parts                     []part.Part
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("sampan-bench", flag.ContinueOnError)
	f.StringVar(&o.sampan, "sampan", "bin/sampan", "the program to measure")
	f.StringVar(&o.out, "out", "bench/out", "folder for report.md, report.json, plots and logs")
	f.IntVar(&o.pairs, "pairs", 5, "runs of each side")
	f.BoolVar(&o.size.Quick, "quick", false, "one pair with small sizes: shows that everything works, measures nothing")
	f.IntVar(&o.size.Scale, "scale", 1, "make clusters, lists and Deployments so many times as big")
	f.DurationVar(&o.size.Window, "window", 3*time.Minute, "how long an idle cluster is looked at")
	f.BoolVar(&o.peer, "peer", true, "measure real Kubernetes too, where it is built")
	f.BoolVar(&o.alone, "peer-only", false, "measure only real Kubernetes")
	f.StringVar(&o.scripts, "peer-scripts", first(os.Getenv("SAMPAN_PEER"), "../shared/peer"), "folder of the peer's scripts ($SAMPAN_PEER)")
	f.StringVar(&o.lab, "peer-lab", first(os.Getenv("SAMPAN_LAB"), "/var/tmp/sampan-lab"), "where the peer is built ($SAMPAN_LAB)")
	f.BoolVar(&o.profile, "profile", false, "take CPU profiles of sampan meanwhile, below profiles/; figures are not to be compared then")
	f.IntVar(&o.port, "port", 17555, "of sampan's API server")
	f.StringVar(&o.more, "server-flags", "", "further flags of sampan server, separated by spaces")
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: sampan-bench [flags] [PART]...\nparts (all unless some are named):")
		for _, p := range part.List {
			fmt.Fprintf(f.Output(), "  %-10s %s\n", p.Name, p.Title)
		}
		f.PrintDefaults()
	}
	var names []string
	for len(args) > 0 { // flags may stand behind the parts
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		args = f.Args()
		for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
			names, args = append(names, args[0]), args[1:]
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(part.List, func(p part.Part) bool { return p.Name == name }) {
			return nil, fmt.Errorf("there is no part %q", name)
		}
	}
	for _, p := range part.List {
		if len(names) == 0 || slices.Contains(names, p.Name) {
			o.parts = append(o.parts, p)
		}
	}
	if o.size.Quick {
		o.pairs = 1
	}
	return o, nil
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{options: o, command: "bench " + strings.Join(args, " ")}
	if err := b.open(ctx); err != nil {
		return err
	}
	return b.run(ctx)
}

// open makes the folder of results and finds the sides.
func (b *bench) open(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root, and so do the counters of processes")
	}
	if err := os.MkdirAll(b.logs(), 0o755); err != nil {
		return err
	}
	if !b.alone {
		var err error
		if b.sampan, err = side.Freeze(b.sampan, filepath.Join(b.out, "bin")); err != nil {
			return err
		}
		s, err := side.OpenSampan(ctx, b.sampan, b.logs(), b.port, strings.Fields(b.more))
		if err != nil {
			return err
		}
		b.sides = append(b.sides, s)
	}
	if !b.peer && !b.alone {
		return nil
	}
	p, err := side.OpenPeer(b.scripts, b.lab, b.logs())
	switch {
	case errors.Is(err, side.ErrNoPeer) && !b.alone:
		fmt.Printf("without the peer: %v\n", err)
	case err != nil:
		return err
	default:
		b.sides = append(b.sides, p)
	}
	return nil
}
