package load

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	logs "sigs.k8s.io/controller-runtime/pkg/log"

	"sampan.dev/bench/proc"
)

// environments has controller-runtime's envtest start n environments, -workers at a time, looks at all of them together, and stops
// them.
func (r *run) environments() error {
	logs.SetLogger(logr.Discard())
	// The processes are envtest's children; they are found by this folder, which their command lines name.
	dir, err := os.MkdirTemp("", "sampan-bench-envtest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return err
	}
	os.Unsetenv("USE_EXISTING_CLUSTER")
	envs := make([]*envtest.Environment, r.n)
	for i := range envs {
		envs[i] = &envtest.Environment{BinaryAssetsDirectory: r.assets, ControlPlaneStartTimeout: r.timeout, ControlPlaneStopTimeout: time.Minute}
	}
	var took times
	busy, since := proc.Busy(), time.Now()
	err = each(r.n, r.workers, func(_, i int) error {
		begun := time.Now()
		_, err := envs[i].Start()
		took.add(time.Since(begun))
		return err
	})
	if err == nil {
		r.put("started_s", time.Since(since).Seconds())
		r.put("start_p50_ms", took.at(.5))
		r.put("started_busy_s", proc.Busy()-busy)
		err = r.together(dir)
	}
	stopping := time.Now()
	err = errors.Join(err, each(r.n, r.workers, func(_, i int) error { return envs[i].Stop() }))
	r.put("stopped_s", time.Since(stopping).Seconds())
	return err
}

// together measures what the processes that name dir use, once they are at rest.
func (r *run) together(dir string) error {
	pids := proc.Set{}
	for _, pid := range proc.WithArgument(dir) {
		pids[strconv.Itoa(pid)] = pid
	}
	if len(pids) != 2*r.n {
		return fmt.Errorf("%d environments have %d processes", r.n, len(pids))
	}
	cpu := 0.0
	for _, pid := range pids {
		cpu += proc.CPU(pid)
	}
	r.put("start_cpu_ms", 1000*cpu/float64(r.n))
	r.pause(settling)
	shared := 0.0
	for _, pid := range pids {
		shared += proc.PSS(pid)
	}
	r.put("memory_mb", shared)
	r.put("rss_mb", pids.RSS())
	before := r.pids.Take()
	idle := pids.Take()
	r.pause(settling)
	r.window(before)
	used := pids.Since(idle)
	r.put("idle_cpu_percent", 100*used.CPU/used.At.Sub(idle.At).Seconds())
	return nil
}
