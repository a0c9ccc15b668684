package kubelet

import (
	"context"
	"errors"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/evict"
	"sampan.dev/internal/node/fence"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/shutdown"

	corev1 "k8s.io/api/core/v1"
)

// sync begins what a pod that is to run needs, if anything. status is what the turn has told of it.
func (w *worker) sync(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod, status *corev1.PodStatus) {
	now := time.Now()
	if msg := w.health.NetworkTrouble(); msg != "" && !pod.Spec.HostNetwork && len(obs.Sandboxes) == 0 {
		if !w.network {
			w.network = true
			w.events.Pod(pod, "", corev1.EventTypeWarning, "NetworkNotReady", "network is not ready: %s", msg)
		}
		w.again(now.Add(time.Second))
		w.health.Look(ctx)
		return
	}
	if w.failures > 0 && now.Before(w.nextTry) {
		w.again(w.nextTry)
		return
	}
	if !w.prepared && pods.IsStatic(pod) && w.roster.predecessor(ctx, w.rt, pod) {
		w.again(now.Add(100 * time.Millisecond))
		return
	}
	if !w.prepared {
		w.start(ctx, func(ctx context.Context) { w.prepare(ctx, pod) })
		return
	}
	v := podstate.View{Pod: pod, Obs: obs, Actuated: w.alloc.Actuated.Get(pod.UID)}
	v.Liveness, v.Startup = w.probes.verdicts()
	v.RestartAll = podstate.RestartingAll(status)
	a := podstate.Step(v)
	changed := w.holdBack(pod, obs, &a, now, w.again)
	if w.failedResize > 0 && now.Before(w.nextResize) {
		a.Resize = podstate.Resize{}
		w.again(w.nextResize)
	}
	if a.Any() {
		w.replaced = a.Replaced(pod)
		w.start(ctx, func(ctx context.Context) { w.act(ctx, pod, obs, a) })
		return
	}
	if changed {
		w.publish(ctx, pod, obs, false, true)
	}
	w.refresh(ctx, pod, now)
	w.prune(ctx, pod, obs)
}

// refresh renews the contents of volumes when that is due.
func (w *worker) refresh(ctx context.Context, pod *corev1.Pod, now time.Time) {
	if now.Before(w.retryShow) {
		w.again(w.retryShow)
		return
	}
	at, stale := w.machine.Stale(pod, now)
	if !stale {
		w.again(at)
		return
	}
	w.start(ctx, func(ctx context.Context) {
		if err := w.machine.Renew(ctx, pod); err != nil && ctx.Err() == nil {
			w.cfg.Log.Debug("volumes not refreshed", "pod", pods.Describe(pod), "error", err)
			w.retryShow = time.Now().Add(jitter(10 * time.Second))
			w.nextTry = w.retryShow
		}
	})
}

// terminate stops everything of the pod, or moves on when nothing runs.
func (w *worker) terminate(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	live := obs.Running()
	for _, s := range obs.Sandboxes {
		live = live || s.Ready
	}
	if !live && w.dra != nil && w.dra.Has(w.uid) {
		w.unclaim(ctx, pod)
		return
	}
	if !live {
		w.setStage(terminated)
		w.probes.stopAll()
		w.poke()
		return
	}
	if now := time.Now(); now.Before(w.nextTry) && w.failures > 0 {
		w.again(w.nextTry)
		return
	}
	w.failures = 0
	w.mu.Lock()
	grace := w.graceLocked()
	if r := w.mu.rejected; r != nil && (r.Reason == evict.Reason || r.Reason == shutdown.Reason || r.Reason == fence.Reason) {
		grace = max(1, w.mu.grace)
	}
	w.mu.Unlock()
	w.start(ctx, func(ctx context.Context) {
		if !w.killAll(ctx, pod, obs, &grace) && ctx.Err() == nil {
			w.failed()
		}
	})
}

// unclaim has the devices taken back that the pod claims. That comes before its end is told: others may have them then.
func (w *worker) unclaim(ctx context.Context, pod *corev1.Pod) {
	if now := time.Now(); now.Before(w.nextTry) && w.failures > 0 {
		w.again(w.nextTry)
		return
	}
	w.start(ctx, func(ctx context.Context) {
		if err := w.dra.Unprepare(ctx, w.uid); err != nil {
			w.cfg.Log.Warn("devices not taken back, trying again", "pod", pods.Describe(pod), "error", err)
			w.failed()
			return
		}
		w.failures = 0
	})
}

// dismantle takes away the volumes and the control group of a pod that does not run any more.
func (w *worker) dismantle(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	if now := time.Now(); now.Before(w.nextTry) && w.failures > 0 {
		w.again(w.nextTry)
		return
	}
	w.start(ctx, func(ctx context.Context) {
		err := errors.New("processes are left in its control group")
		if w.killRest(pod) { // volumes are not taken from under what still runs
			err = w.machine.Dismantle(pod)
		}
		if err != nil {
			w.cfg.Log.Warn("pod not taken apart, trying again", "pod", pods.Describe(pod), "error", err)
			w.failed()
			return
		}
		w.release(w.uid)
		if w.users != nil {
			w.users.Release(w.uid)
		}
		w.roster.balance(w.cgroups, w.cfg.Memory, w.cfg.Log)
		w.failures = 0
		w.setStage(finished)
	})
}

// cleanup removes the last traces of a pod that the hub has no longer.
func (w *worker) cleanup(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	for _, c := range obs.Containers {
		if err := w.removeContainer(ctx, pod, &c); err != nil {
			w.cfg.Log.Warn("container not removed", "pod", pods.Describe(pod), "container", c.Name, "error", err)
		}
	}
	for _, s := range obs.Sandboxes {
		if err := w.rt.RemoveSandbox(ctx, s.ID); err != nil {
			w.cfg.Log.Warn("sandbox not removed", "pod", pods.Describe(pod), "error", err)
		}
	}
	if err := w.machine.Clear(pod); err != nil {
		w.cfg.Log.Warn("pod directory or logs stay", "pod", pods.Describe(pod), "error", err)
	}
}

// prune removes old runs: of every container the newest dead one is kept (for --previous), of the sandboxes the newest.
func (w *worker) prune(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	dead := map[string]int{}
	for i := range obs.Containers {
		c := &obs.Containers[i]
		if c.State != runtime.Exited {
			continue
		}
		if dead[c.Name]++; dead[c.Name] > 1 {
			if err := w.removeContainer(ctx, pod, c); err != nil {
				w.cfg.Log.Debug("old container stays", "pod", pods.Describe(pod), "container", c.Name, "error", err)
			}
		}
	}
	for i := 1; i < len(obs.Sandboxes); i++ {
		s := obs.Sandboxes[i]
		used := s.Ready
		for j := range obs.Containers {
			used = used || obs.Containers[j].SandboxID == s.ID
		}
		if !used {
			_ = w.rt.RemoveSandbox(ctx, s.ID)
		}
	}
}
