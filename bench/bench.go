package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"sampan.dev/bench/part"
	"sampan.dev/bench/proc"
	"sampan.dev/bench/report"
	"sampan.dev/bench/side"
)

// bench is one run of the driver.
type bench struct {
	*options
	command string
	sides   []side.Side
	report  report.Report
}

func (b *bench) logs() string { return filepath.Join(b.out, "logs") }

// run runs every part on every side in turn and writes the results after each, so that one that is stopped has what it got to.
func (b *bench) run(ctx context.Context) error {
	b.report = report.Report{Began: time.Now().UTC(), Machine: machine(), Command: strings.TrimSpace(b.command), Judged: !b.size.Quick && b.size.Scale <= 1, Sampan: version(b.sampan, "version")}
	for _, s := range b.sides {
		if s.Name() == report.Peer {
			b.report.Peer = version(filepath.Join(b.lab, "bin/kube-apiserver"), "--version")
		}
	}
	for _, p := range b.parts {
		for pair := 1; pair <= b.pairs && ctx.Err() == nil; pair++ {
			for _, s := range b.sides {
				if ctx.Err() == nil && (!p.Alone || s.Name() == report.Sampan) {
					b.one(ctx, p, pair, s)
				}
			}
		}
		if err := b.wipe(); err != nil {
			return err
		}
		if err := b.write(); err != nil {
			return err
		}
	}
	fmt.Printf("\n%s\nin %s: report.md, report.json, plots, logs\n", b.report.Markdown(), b.out)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, failed := b.report.Failed(); failed > 0 {
		return fmt.Errorf("%d runs failed", failed)
	}
	return nil
}

// one runs a part on a side once and keeps what came of it.
func (b *bench) one(ctx context.Context, p part.Part, pair int, s side.Side) {
	e := &part.Env{Side: s, Size: b.size, Pair: pair, Values: map[string]float64{}}
	r := report.Run{Part: p.Name, Pair: pair, Side: s.Name(), Began: time.Now().UTC()}
	fmt.Printf("%s %-8s %d/%d %-10s ", time.Now().Format("15:04:05"), p.Name, pair, b.pairs, s.Name())
	before := proc.Load()
	stop := b.startProfile(ctx, e, p.Name)
	err := p.Run(ctx, e)
	stop()
	if !p.Keeps {
		err = errors.Join(err, wipe(s))
	}
	r.Seconds = time.Since(r.Began).Seconds()
	r.Load = (before + proc.Load()) / 2
	r.Others, r.Values, r.Notes = e.Others, maps.Clone(e.Values), e.Notes
	if ctx.Err() != nil {
		fmt.Println("stopped; not in the report")
		return
	}
	if err != nil {
		r.Error = err.Error()
		fmt.Printf("FAILED: %v\n", err)
	} else {
		fmt.Printf("%.0f s, load %.1f\n", r.Seconds, r.Load)
	}
	b.report.Runs = append(b.report.Runs, r)
}

// startProfile has sampan's API server profiled, where that is wanted, until the function that it returns is called.
func (b *bench) startProfile(ctx context.Context, e *part.Env, name string) func() {
	if !b.profile || e.Side.Name() != report.Sampan {
		return func() {}
	}
	stop, err := e.Profile(ctx, filepath.Join(b.out, "profiles", fmt.Sprintf("%s-%d", name, e.Pair)))
	if err != nil {
		fmt.Printf("no profile: %v ", err)
	}
	return stop
}

// wipe takes a side away, whether or not the bench was asked to stop.
func wipe(s side.Side) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return s.Wipe(ctx)
}

func (b *bench) wipe() error {
	var errs []error
	for _, s := range b.sides {
		errs = append(errs, wipe(s))
	}
	return errors.Join(errs...)
}

// write writes the report so far.
func (b *bench) write() error {
	var parts []report.Part
	for _, p := range b.parts {
		parts = append(parts, report.Part{Name: p.Name, Title: p.Title, How: p.How, Metrics: p.Metrics})
	}
	b.report.Sum(parts)
	data, err := b.report.JSON()
	if err != nil {
		return err
	}
	files := map[string][]byte{"report.json": data, "report.md": []byte(b.report.Markdown())}
	for _, p := range parts {
		if plot := b.report.SVG(p.Name); plot != "" {
			files[p.Name+".svg"] = []byte(plot)
		}
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(b.out, name), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func version(bin string, arg string) string {
	out, err := exec.Command(bin, arg).Output()
	if err != nil {
		return "?"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

func machine() report.Machine {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	memory, _ := os.ReadFile("/proc/meminfo")
	kb := 0
	if f := strings.Fields(string(memory)); len(f) > 1 {
		kb, _ = strconv.Atoi(f[1])
	}
	return report.Machine{CPUs: runtime.NumCPU(), MemoryMB: kb / 1024, Kernel: strings.TrimSpace(string(kernel)), Go: runtime.Version()}
}
