package kubelet

import (
	"context"
	"fmt"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

// refresh renews the contents of volumes when an object they show, the pod itself or a token's age calls for it.
func (w *worker) refresh(ctx context.Context, pod *corev1.Pod, now time.Time) {
	if w.k.cfg.Hollow {
		return
	}
	at, ok := w.k.volumes.Refresh(w.uid)
	if now.Before(w.retryShow) {
		w.again(w.retryShow)
		return
	}
	seen := w.k.objects.Changed(w.uid, pod.ResourceVersion)
	if ok && !now.Before(at) || seen {
		w.start(ctx, func(ctx context.Context) {
			if _, err := w.k.volumes.Mount(ctx, pod); err != nil && ctx.Err() == nil {
				w.k.cfg.Log.Debug("volumes not refreshed", "pod", pods.Describe(pod), "error", err)
				w.k.objects.Again(w.uid)
				w.retryShow = time.Now().Add(jitter(10 * time.Second))
				w.nextTry = w.retryShow
			}
		})
		return
	}
	if ok {
		w.again(at)
	}
}

// holdBack takes out of a what must wait for a crash loop back-off or an image pull back-off, and reports whether the
// reasons that the status shows have changed.
func (w *worker) holdBack(pod *corev1.Pod, obs *runtime.Pod, a *podstate.Actions, now time.Time) (changed bool) {
	keep := func(list []int, specs func(int) *corev1.Container) []int {
		var out []int
		for _, i := range list {
			c := specs(i)
			if until, held := w.held(pod, c, obs, now); held {
				w.again(until)
				changed = true
				continue
			}
			out = append(out, i)
		}
		return out
	}
	a.Init = keep(a.Init, func(i int) *corev1.Container { return &pod.Spec.InitContainers[i] })
	a.Main = keep(a.Main, func(i int) *corev1.Container { return &pod.Spec.Containers[i] })
	return changed
}

// held reports whether a container has to wait, and until when.
func (w *worker) held(pod *corev1.Pod, c *corev1.Container, obs *runtime.Pod, now time.Time) (time.Time, bool) {
	if until, tell, held := w.pulls.Holds(c.Name, c.Image, now); held {
		if tell != "" {
			w.k.events.Pod(pod, c.Name, corev1.EventTypeNormal, "BackOff", "Back-off pulling image %q", c.Image)
			w.failing(c.Name, "ImagePullBackOff", tell)
		}
		return until, true
	}
	if h := w.holds[c.Name+"\x00"+c.Image]; now.Before(h.until) {
		return h.until, true
	}
	s := lastExited(obs, c.Name)
	if s == nil {
		return time.Time{}, false
	}
	key := c.Name + "\x00" + c.Image
	until, held := w.crash.Holds(key, s.FinishedAt, now)
	if held && w.firstHold(c.Name, s.ID) {
		w.failing(c.Name, "CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", w.crash[key].Wait, c.Name, pods.Describe(pod)))
		w.k.events.Pod(pod, c.Name, corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s", c.Name, pods.Describe(pod))
	}
	return until, held
}

// hold is until when a container that could not be made waits, after how many attempts in a row.
type hold struct {
	until time.Time
	tries int
}

// holdOff puts off the next attempt at a container that could not be made: 1, 2, 4, 8, 10 s … What is in the way when everything
// starts at once is gone in a moment, and a kubelet that is started anew every few seconds gets to a second attempt.
func (w *worker) holdOff(c *corev1.Container) {
	h := w.holds[c.Name+"\x00"+c.Image]
	h.until = time.Now().Add(jitter(min(time.Second<<min(h.tries, 4), 10*time.Second)))
	h.tries++
	w.holds[c.Name+"\x00"+c.Image] = h
}

// firstHold reports whether a container is held back for the first time since it exited as the run id.
func (w *worker) firstHold(name, id string) bool {
	if w.heldAt[name] == id {
		return false
	}
	w.heldAt[name] = id
	return true
}

func lastExited(obs *runtime.Pod, name string) *runtime.Container {
	for i := range obs.Containers {
		if c := &obs.Containers[i]; c.Name == name && c.State == runtime.Exited {
			return c
		}
	}
	return nil
}

// failed puts off the next attempt after a failure that concerns the whole pod: 1, 2, 4 … 16 s.
func (w *worker) failed() {
	w.failures++
	w.nextTry = time.Now().Add(jitter(time.Second << min(w.failures-1, 4)))
}
