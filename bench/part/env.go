package part

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"sampan.dev/bench/load"
	"sampan.dev/bench/proc"
	"sampan.dev/bench/report"
	"sampan.dev/bench/side"
)

// Part is one part of the bench.
type Part struct {
	Name, Title string
	How         string // one sentence for the reader of the report
	Keeps       bool   // the data of a run is there for the next on the same side
	Alone       bool   // of sampan only, whose figures are compared with each other
	Run         func(ctx context.Context, e *Env) error
	Metrics     []report.Metric
}

// Size says how big a run is.
type Size struct {
	Quick  bool          // as small as shows that it works
	Scale  int           // ten: the lists and clusters are ten times as big
	Window time.Duration // of idle
}

// Pick returns full, or quick when that is wanted.
func (s Size) Pick(full, quick int) int {
	if s.Quick {
		return quick
	}
	return full
}

// Grown is Pick, times the scale.
func (s Size) Grown(full, quick int) int { return s.Pick(full, quick) * max(1, s.Scale) }

// Env is what a run of a part works with.
type Env struct {
	Side   side.Side
	Size   Size
	Pair   int // from 1
	Values map[string]float64
	Others float64
	Notes  []string
}

// start brings a cluster up, untimed, and returns when it can be used.
func (e *Env) start(ctx context.Context, s side.Shape) error {
	if err := e.Side.Prepare(ctx, s); err != nil {
		return err
	}
	if _, err := e.Side.Launch(ctx); err != nil {
		return err
	}
	if err := e.load(ctx, "await", "-address", e.Side.Address(), "-timeout", "2m"); err != nil {
		return err
	}
	if err := e.Side.Rest(ctx); err != nil {
		return err
	}
	nodes := "0"
	if s.Node {
		nodes = "1"
	}
	if err := e.load(ctx, "await", "-address", e.Side.Address(), "-nodes", nodes, "-timeout", "2m"); err != nil {
		return err
	}
	return pause(ctx, 2*time.Second)
}

// again stops the cluster and starts it on the same data.
func (e *Env) again(ctx context.Context, s side.Shape) error {
	if err := e.Side.Stop(ctx); err != nil {
		return err
	}
	return e.start(ctx, s)
}

// load runs a load and keeps its values.
func (e *Env) load(ctx context.Context, args ...string) error {
	return e.timed(ctx, nil, nil, args...)
}

// timed runs a load that times a start: launch executes what is timed once the load looks, and rest starts what comes after the
// API server is ready. Both may be nil.
func (e *Env) timed(ctx context.Context, launch func(context.Context) (time.Time, error), rest func(context.Context) error, args ...string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd, err := e.command(ctx, args)
	if err != nil {
		return err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	var out load.Output
	err = func() error {
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			switch line := lines.Text(); {
			case line == load.Armed && launch != nil:
				since, err := launch(ctx)
				if err != nil {
					return err
				}
				fmt.Fprintln(stdin, since.UnixNano())
			case line == load.Readyz && rest != nil:
				if err := rest(ctx); err != nil {
					return err
				}
			case strings.HasPrefix(line, "{"):
				if err := json.Unmarshal([]byte(line), &out); err != nil {
					return err
				}
			}
		}
		return lines.Err()
	}()
	if err != nil {
		cancel()
	}
	if werr := cmd.Wait(); werr != nil && err == nil {
		err = fmt.Errorf("%w: %s", werr, strings.TrimSpace(stderr.String()))
	}
	if err != nil {
		return fmt.Errorf("load %s: %w", strings.Join(args, " "), err)
	}
	maps.Copy(e.Values, out.Values)
	e.Others = max(e.Others, out.Others)
	e.Notes = append(e.Notes, out.Notes...)
	return nil
}

// command is this program again, as a load, with what every load is told.
func (e *Env) command(ctx context.Context, args []string) (*exec.Cmd, error) {
	exe := fmt.Sprintf("/proc/%d/exe", os.Getpid()) // this very program, even when another has been built in its place
	all := append(slices.Clone(e.Side.Inside()), exe, "load", args[0], "-kubeconfig", e.Side.Kubeconfig())
	own, _ := e.Side.Processes()
	for name, pid := range own {
		all = append(all, "-pid", fmt.Sprintf("%s=%d", name, pid))
	}
	all = append(all, args[1:]...)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd, nil
}

// Profile takes CPU profiles to files that begin with prefix until the function that it returns is called.
func (e *Env) Profile(ctx context.Context, prefix string) (func(), error) {
	nothing := func() {}
	if err := os.MkdirAll(filepath.Dir(prefix), 0o755); err != nil {
		return nothing, err
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd, err := e.command(ctx, []string{"profile", "-space", prefix, "-timeout", "3h"})
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		return nothing, err
	}
	return func() {
		cancel()
		_ = cmd.Wait()
	}, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// total adds two sets.
func total(a, b proc.Set) proc.Set {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}
