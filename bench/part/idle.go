package part

import (
	"context"
	"time"

	"sampan.dev/bench/proc"
	"sampan.dev/bench/side"
)

// runIdle leaves a whole cluster without workload alone and counts what it uses.
func runIdle(ctx context.Context, e *Env) error {
	if err := e.start(ctx, side.Shape{Scheduler: true, Controllers: true, Node: true}); err != nil {
		return err
	}
	settle, window, minute := 60*time.Second, e.Size.Window, time.Minute
	if e.Size.Quick {
		settle, window, minute = 10*time.Second, 15*time.Second, 5*time.Second
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	own, runtime := e.Side.Processes()
	all := total(own, runtime)
	before, beforeAll := own.Take(), all.Take()
	if err := pause(ctx, window); err != nil {
		return err
	}
	used, usedAll := own.Since(before), all.Since(beforeAll)
	wall := used.At.Sub(before.At)
	e.Others = max(e.Others, usedAll.Others(wall))
	e.Values["rss_mb"] = own.RSS()
	e.Values["rss_runtime_mb"] = runtime.RSS()
	e.Values["rss_all_mb"] = all.RSS()
	anonymous := 0.0
	for _, pid := range own {
		anonymous += proc.Anonymous(pid)
	}
	e.Values["anon_mb"] = anonymous
	e.Values["cpu_percent"] = 100 * used.CPU / wall.Seconds()
	e.Values["cpu_all_percent"] = 100 * usedAll.CPU / wall.Seconds()
	e.Values["disk_mb_hour"] = used.Written / 1e6 * 3600 / wall.Seconds()
	got, err := counts(ctx, own, func() error { return pause(ctx, minute) }, systemCalls)
	if err != nil {
		e.Notes = append(e.Notes, "system calls are not counted: "+err.Error())
		return ctx.Err()
	}
	e.Values["syscalls_minute"] = got[systemCalls] * float64(time.Minute) / float64(minute)
	return nil
}
