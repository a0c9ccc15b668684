package part

import (
	"context"
	"fmt"
	"os"
	"strconv"

	"sampan.dev/bench/proc"
	"sampan.dev/bench/side"
)

// overloadMemory is what API server and store may use together.
const overloadMemory = 400 << 20

// runOverload has more asked of a small server than it can do. A server that is killed for it is a result, not an error.
func runOverload(ctx context.Context, e *Env) (err error) {
	m, err := proc.NewMemory(fmt.Sprintf("sampan-bench-%d", os.Getpid()), overloadMemory)
	if err != nil {
		return err
	}
	defer func() {
		if serr := e.Side.Stop(ctx); serr != nil {
			e.Notes = append(e.Notes, "stopping: "+serr.Error())
		}
		if rerr := m.Remove(); err == nil {
			err = rerr
		}
	}()
	if err := e.start(ctx, side.Shape{Procs: m.Procs()}); err != nil {
		return err
	}
	lasting := fmt.Sprintf("%ds", e.Size.Pick(60, 10))
	err = e.load(ctx, "overload", "-content", "json", "-n", strconv.Itoa(e.Size.Pick(10_000, 2000)), "-workers", strconv.Itoa(e.Size.Pick(300, 30)),
		"-concurrent", strconv.Itoa(e.Size.Pick(200, 20)), "-watchers", strconv.Itoa(e.Size.Pick(100, 10)), "-lasting", lasting, "-timeout", "5m")
	e.Values["oom_kills"] = m.Kills()
	return err
}
