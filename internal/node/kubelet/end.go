package kubelet

import (
	"context"
	"errors"
	"os"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// terminate stops everything of the pod, or moves on when nothing runs.
func (w *worker) terminate(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	live := obs.Running()
	for _, s := range obs.Sandboxes {
		live = live || s.Ready
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
	if w.mu.rejected != nil && w.mu.rejected.reason == "Evicted" {
		grace = 1
	}
	w.mu.Unlock()
	w.start(ctx, func(ctx context.Context) {
		if !w.killAll(ctx, pod, obs, &grace) && ctx.Err() == nil {
			w.failed()
		}
	})
}

// dismantle takes away the volumes and the control group of a pod that does not run any more.
func (w *worker) dismantle(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	if now := time.Now(); now.Before(w.nextTry) && w.failures > 0 {
		w.again(w.nextTry)
		return
	}
	w.start(ctx, func(ctx context.Context) {
		k := w.k
		var err error
		switch {
		case k.cfg.Hollow:
		case !w.killRest(pod): // volumes are not taken from under what still runs
			err = errors.New("processes are left in its control group")
		default:
			err = errors.Join(k.volumes.Unmount(w.uid), k.cgroups.Remove(cgroupPod(pod)))
		}
		if err != nil {
			k.cfg.Log.Warn("pod not taken apart, trying again", "pod", pods.Describe(pod), "error", err)
			w.failed()
			return
		}
		k.objects.Unregister(w.uid)
		k.balance()
		w.failures = 0
		w.setStage(finished)
	})
}

// cleanup removes the last traces of a pod that the hub has no longer.
func (w *worker) cleanup(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	for _, c := range obs.Containers {
		if err := w.k.removeContainer(ctx, pod, &c); err != nil {
			w.k.cfg.Log.Warn("container not removed", "pod", pods.Describe(pod), "container", c.Name, "error", err)
		}
	}
	for _, s := range obs.Sandboxes {
		if err := w.k.rt.RemoveSandbox(ctx, s.ID); err != nil {
			w.k.cfg.Log.Warn("sandbox not removed", "pod", pods.Describe(pod), "error", err)
		}
	}
	if w.k.cfg.Hollow {
		return
	}
	if err := w.k.removeDirs(w.uid); err != nil {
		w.k.cfg.Log.Warn("pod directory stays", "pod", pods.Describe(pod), "error", err)
	}
	if err := os.RemoveAll(w.k.cfg.logDir(pod)); err != nil {
		w.k.cfg.Log.Warn("pod logs stay", "pod", pods.Describe(pod), "error", err)
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
			if err := w.k.removeContainer(ctx, pod, c); err != nil {
				w.k.cfg.Log.Debug("old container stays", "pod", pods.Describe(pod), "container", c.Name, "error", err)
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
			_ = w.k.rt.RemoveSandbox(ctx, s.ID)
		}
	}
}

// purgeInit removes the runs of init containers before they all run again in a new sandbox.
func (w *worker) purgeInit(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod) {
	for i := range obs.Containers {
		if c := &obs.Containers[i]; pods.FindContainer(pod.Spec.InitContainers, c.Name) != nil {
			_ = w.k.removeContainer(ctx, pod, c)
		}
	}
}
