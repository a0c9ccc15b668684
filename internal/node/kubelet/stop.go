package kubelet

import (
	"context"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// killAll stops every container of the pod, sidecars after the main containers and each after those behind it, and then
// the sandboxes. grace overrides what the pod says. It reports whether all is stopped.
func (o *operation) killAll(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod, grace *int64) bool {
	var wg sync.WaitGroup
	var mu sync.Mutex
	ok := true
	order := newOrder(pod, obs)
	for i := range obs.Containers {
		c := &obs.Containers[i]
		if c.State == runtime.Exited {
			continue
		}
		wg.Go(func() {
			err := o.kill(ctx, pod, podstate.Kill{Id: c.ID, Name: c.Name, Message: "Stopping container " + c.Name}, grace, order)
			if err != nil {
				if ctx.Err() == nil {
					o.cfg.Log.Warn("container not stopped", "pod", pods.Describe(pod), "container", c.Name, "error", err)
				}
				mu.Lock()
				ok = false
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if !ok {
		return false
	}
	for _, s := range obs.Sandboxes {
		if err := o.rt.StopSandbox(ctx, s.ID); err != nil {
			if ctx.Err() == nil {
				o.cfg.Log.Warn("sandbox not stopped", "pod", pods.Describe(pod), "error", err)
			}
			ok = false
		}
	}
	return ok && o.killRest(pod)
}

// killRest kills what still runs in the pod's control group although the runtime has stopped all it knows of: a container whose
// monitor was killed with it unseen. Its successor must not find it on the same volumes and ports, and nobody else a volume
// that is still written. It reports whether nothing is left.
func (o *operation) killRest(pod *corev1.Pod) bool {
	found, left := o.cgroups.Kill(podspec.Cgroup(pod))
	if found > 0 {
		o.cfg.Log.Warn("killed processes of a pod that the runtime did not know", "pod", pods.Describe(pod), "processes", found, "left", left)
	}
	return left == 0
}

// kill stops one container: its preStop hook, its turn, the stop signal, and after the grace SIGKILL. A grace period never
// is shorter than two seconds in the end, as upstream has it.
func (o *operation) kill(ctx context.Context, pod *corev1.Pod, kl podstate.Kill, override *int64, order *order) error {
	const least = 2
	c := pods.Container(pod, kl.Name)
	grace := killGrace(pod, c, kl.Why)
	if override != nil {
		grace = *override
	}
	o.events.Pod(pod, kl.Name, corev1.EventTypeNormal, "Killing", "%s", kl.Message)
	if c != nil && c.Lifecycle != nil && c.Lifecycle.PreStop != nil && grace > 0 && !o.ranPreStop(kl.Id) {
		begin := time.Now()
		hctx, cancel := context.WithTimeout(ctx, time.Duration(grace)*time.Second)
		if err := o.hook(hctx, pod, c, kl.Id, c.Lifecycle.PreStop, pods.IPs(o.current())); err != nil && hctx.Err() == nil {
			o.cfg.Log.Info("preStop hook failed", "pod", pods.Describe(pod), "container", kl.Name, "error", err)
			o.events.Pod(pod, kl.Name, corev1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed")
		}
		cancel()
		grace -= int64(time.Since(begin) / time.Second)
	}
	if order != nil && grace > 0 {
		begin := time.Now()
		order.wait(ctx, kl.Name, time.Duration(grace)*time.Second)
		grace -= int64(time.Since(begin) / time.Second)
	}
	if err := o.rt.StopContainer(ctx, kl.Id, max(least, grace)); err != nil {
		return err
	}
	if order != nil {
		order.done(kl.Name)
	}
	return nil
}

// ranPreStop reports whether the hook of that container was run before, and marks it.
func (o *operation) ranPreStop(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	was := o.preStop[id]
	o.preStop[id] = true
	return was
}

// killGrace is the grace period of a container by spec and reason.
func killGrace(pod *corev1.Pod, c *corev1.Container, why podstate.KillReason) int64 {
	if g := pod.DeletionGracePeriodSeconds; g != nil {
		return *g
	}
	if pod.Spec.TerminationGracePeriodSeconds == nil {
		return 2
	}
	if c != nil {
		for _, p := range []struct {
			why   podstate.KillReason
			probe *corev1.Probe
		}{{podstate.WhyStartup, c.StartupProbe}, {podstate.WhyLiveness, c.LivenessProbe}} {
			if p.why == why && p.probe != nil && p.probe.TerminationGracePeriodSeconds != nil {
				return *p.probe.TerminationGracePeriodSeconds
			}
		}
	}
	return *pod.Spec.TerminationGracePeriodSeconds
}

// order is the order in which the containers of a terminating pod stop, when it has sidecars.
type order struct {
	before map[string][]string // who has to be gone first
	gone   map[string]chan struct{}
	once   map[string]*sync.Once
}

func newOrder(pod *corev1.Pod, obs *runtime.Pod) *order {
	o := &order{before: map[string][]string{}, gone: map[string]chan struct{}{}, once: map[string]*sync.Once{}}
	for i := range obs.Containers {
		c := &obs.Containers[i]
		if c.State != runtime.Exited && o.gone[c.Name] == nil {
			o.gone[c.Name], o.once[c.Name] = make(chan struct{}), &sync.Once{}
		}
	}
	var first []string
	for i := range pod.Spec.Containers {
		first = append(first, pod.Spec.Containers[i].Name)
	}
	for i := len(pod.Spec.InitContainers) - 1; i >= 0; i-- {
		if c := &pod.Spec.InitContainers[i]; pods.IsSidecar(c) {
			o.before[c.Name] = append([]string(nil), first...)
			first = append(first, c.Name)
		}
	}
	return o
}

// wait returns when all that has to be gone before name is gone, or after limit.
func (r *order) wait(ctx context.Context, name string, limit time.Duration) {
	if len(r.before[name]) == 0 {
		return
	}
	t := time.NewTimer(limit)
	defer t.Stop()
	for _, other := range r.before[name] {
		ch := r.gone[other]
		if ch == nil {
			continue
		}
		select {
		case <-ch:
		case <-t.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (r *order) done(name string) {
	if ch := r.gone[name]; ch != nil {
		r.once[name].Do(func() { close(ch) })
	}
}

// reset takes away all runs of a pod's containers, so that all start anew, without grace and in the order that the step has given. Their
// logs stay.
func (o *operation) reset(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod, list []podstate.Reset) {
	none := int64(0)
	for _, r := range list {
		var err error
		if r.Kill {
			err = o.kill(ctx, pod, podstate.Kill{Id: r.ID, Name: r.Name, Message: "killing"}, &none, nil)
		}
		if err == nil {
			err = o.rt.RemoveContainer(ctx, r.ID)
		}
		if err != nil {
			if ctx.Err() == nil {
				o.cfg.Log.Warn("container not taken away before all start anew", "pod", pods.Describe(pod), "container", r.Name, "error", err)
				o.failed()
			}
			return
		}
	}
	o.failures = 0
}

// purgeInit removes the runs of init containers before they all run again in a new sandbox.
func (o *operation) purgeInit(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	for i := range obs.Containers {
		if c := &obs.Containers[i]; pods.FindContainer(pod.Spec.InitContainers, c.Name) != nil {
			_ = o.removeContainer(ctx, pod, c)
		}
	}
}
