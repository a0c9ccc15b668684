package part

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sampan.dev/bench/side"
)

func runStart(ctx context.Context, e *Env) error {
	s := side.Shape{Scheduler: true, Controllers: true, Node: true}
	if err := e.Side.Prepare(ctx, s); err != nil {
		return err
	}
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	return e.timed(ctx, e.Side.Launch, e.Side.Rest, "start", "-address", e.Side.Address(), "-image", e.Side.Image(), "-timeout", "3m")
}

func runRestart(ctx context.Context, e *Env) error {
	var s side.Shape
	if e.Pair == 1 {
		if err := e.start(ctx, s); err != nil {
			return err
		}
		if err := e.load(ctx, "fill", "-n", strconv.Itoa(e.Size.Grown(100_000, 2000)), "-workers", "32", "-timeout", "20m"); err != nil {
			return err
		}
		if err := e.Side.Stop(ctx); err != nil {
			return err
		}
	}
	if err := e.Side.Prepare(ctx, s); err != nil {
		return err
	}
	if err := e.timed(ctx, e.Side.Launch, nil, "ready", "-address", e.Side.Address(), "-timeout", "5m"); err != nil {
		return err
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	own, _ := e.Side.Processes()
	e.Values["rss_mb"] = own.RSS()
	return e.Side.Stop(ctx)
}

func runAPI(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{}); err != nil {
		return err
	}
	n := strconv.Itoa(e.Size.Pick(1000, 100))
	for content, prefix := range map[string]string{"protobuf": "", "json": "json_"} {
		if err := e.load(ctx, "latency", "-n", n, "-content", content, "-prefix", prefix); err != nil {
			return err
		}
	}
	return nil
}

func runWrites(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{}); err != nil {
		return err
	}
	for _, w := range []int{1, 16, 128} {
		n := e.Size.Pick(min(1500*w, 10_000), 100+4*w)
		if err := e.load(ctx, "writes", "-n", strconv.Itoa(n), "-workers", strconv.Itoa(w), "-prefix", fmt.Sprintf("w%d_", w)); err != nil {
			return err
		}
	}
	return e.countWrites(ctx, 16, e.Size.Pick(2000, 200))
}

// countWrites counts, in a run of its own, what a create costs in system calls and flushes of the disk.
func (e *Env) countWrites(ctx context.Context, writers, n int) error {
	own, _ := e.Side.Processes()
	got, err := counts(ctx, own, func() error {
		return e.load(ctx, "writes", "-n", strconv.Itoa(n), "-workers", strconv.Itoa(writers), "-prefix", "counted_", "-space", "counted")
	}, systemCalls, fdatasyncs, fsyncs)
	if err != nil {
		e.Notes = append(e.Notes, "system calls are not counted: "+err.Error())
		return ctx.Err()
	}
	prefix := fmt.Sprintf("w%d_", writers)
	e.Values[prefix+"flushes"] = (got[fdatasyncs] + got[fsyncs]) / float64(n)
	e.Values[prefix+"syscalls"] = got[systemCalls] / float64(n)
	return nil
}

func runList(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{Hollow: true}); err != nil {
		return err
	}
	return e.load(ctx, "list", "-n", strconv.Itoa(e.Size.Grown(10_000, 1000)), "-timeout", "30m")
}

func runPage(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{Hollow: true}); err != nil {
		return err
	}
	return e.load(ctx, "page", "-n", strconv.Itoa(e.Size.Grown(100_000, 10_000)), "-timeout", "30m")
}

func runCRDs(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{}); err != nil {
		return err
	}
	return e.load(ctx, "crds", "-n", strconv.Itoa(e.Size.Grown(1000, 60)), "-timeout", "20m")
}

func runCustom(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{}); err != nil {
		return err
	}
	return e.load(ctx, "custom", "-content", "json", "-n", strconv.Itoa(e.Size.Grown(10_000, 1000)), "-timeout", "20m")
}

func runWebhook(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{}); err != nil {
		return err
	}
	return e.load(ctx, "webhook", "-n", strconv.Itoa(e.Size.Pick(2000, 100)))
}

// runEnvtest has envtest start everything itself.
func runEnvtest(ctx context.Context, e *Env) error {
	assets, err := e.Side.Assets(ctx)
	if err != nil {
		return err
	}
	return e.load(ctx, "envtest", "-assets", assets, "-n", strconv.Itoa(e.Size.Grown(50, 3)), "-workers", "4", "-timeout", "20m")
}

func runWatch(ctx context.Context, e *Env) error {
	for _, w := range []struct {
		prefix                      string
		watchers, conns, n, workers int
		rate                        string
	}{
		{"w200_", 200, 20, e.Size.Pick(2000, 100), 16, "0"},
		{"paced_", 200, 20, e.Size.Pick(500, 50), 16, "50"},
		{"w5000_", e.Size.Pick(5000, 1000), 50, e.Size.Pick(200, 10), 4, "0"},
	} {
		if err := e.start(ctx, side.Shape{}); err != nil {
			return err
		}
		err := e.load(ctx, "watch", "-watchers", strconv.Itoa(w.watchers), "-conns", strconv.Itoa(w.conns), "-n", strconv.Itoa(w.n),
			"-workers", strconv.Itoa(w.workers), "-rate", w.rate, "-prefix", w.prefix)
		if err != nil {
			return err
		}
		if err := e.Side.Wipe(ctx); err != nil {
			return err
		}
	}
	return nil
}

func runSched(ctx context.Context, e *Env) error {
	s := side.Shape{Scheduler: true, Hollow: true, Fast: true}
	for _, v := range []struct {
		prefix string
		nodes  int
		more   []string
	}{
		{"n1000_", e.Size.Grown(1000, 100), nil},
		{"n5000_", e.Size.Grown(5000, 200), nil},
		{"affinity_", e.Size.Grown(5000, 200), []string{"-affinity"}},
	} {
		// The peer without its scheduler: one that ends would write over the lease.
		if err := e.start(ctx, side.Shape{Hollow: true}); err != nil {
			return err
		}
		if err := e.load(ctx, "hold"); err != nil {
			return err
		}
		if err := e.again(ctx, s); err != nil {
			return err
		}
		args := append([]string{"sched", "-nodes", strconv.Itoa(v.nodes), "-n", strconv.Itoa(e.Size.Grown(10_000, 500)), "-prefix", v.prefix, "-timeout", "30m"}, v.more...)
		if err := e.load(ctx, args...); err != nil {
			return err
		}
		if err := e.Side.Wipe(ctx); err != nil {
			return err
		}
	}
	return nil
}

func runScale(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{Controllers: true, Fast: true}); err != nil {
		return err
	}
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	for _, n := range []int{1000, 10_000} {
		if err := e.load(ctx, "scale", "-n", strconv.Itoa(e.Size.Grown(n, n/20)), "-prefix", fmt.Sprintf("r%d_", n)); err != nil {
			return err
		}
	}
	return nil
}

func runNSDelete(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{Controllers: true, Fast: true}); err != nil {
		return err
	}
	if err := pause(ctx, 3*time.Second); err != nil {
		return err
	}
	return e.load(ctx, "nsdelete", "-n", strconv.Itoa(e.Size.Grown(2000, 200)))
}

func runPods(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{Scheduler: true, Controllers: true, Node: true}); err != nil {
		return err
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	return e.load(ctx, "pods", "-n", strconv.Itoa(e.Size.Pick(25, 5)), "-many", strconv.Itoa(e.Size.Pick(100, 0)), "-image", e.Side.Image())
}

func runServices(ctx context.Context, e *Env) error {
	s := side.Shape{Proxy: true}
	if err := e.start(ctx, s); err != nil {
		return err
	}
	n := strconv.Itoa(e.Size.Grown(5000, 200))
	if err := e.load(ctx, "svcmake", "-n", n, "-backends", e.Side.Backends()); err != nil {
		return err
	}
	// a first start, which is not measured: a node joins, a program is read from the disk
	for _, prefix := range []string{"first_", ""} {
		err := e.timed(ctx, e.Side.LaunchProxy, nil, "svcsync", "-backends", e.Side.Backends(), "-prefix", prefix, "-timeout", "5m")
		if err != nil {
			return err
		}
		if prefix == "" {
			break
		}
		if err := pause(ctx, 3*time.Second); err != nil {
			return err
		}
		if err := e.Side.StopProxy(ctx); err != nil {
			return err
		}
	}
	if err := pause(ctx, 5*time.Second); err != nil {
		return err
	}
	return e.load(ctx, "svcchange", "-n", strconv.Itoa(e.Size.Pick(20, 5)), "-backends", e.Side.Backends(), "-timeout", "5m")
}
