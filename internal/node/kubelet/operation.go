package kubelet

import (
	"fmt"
	"math/rand/v2"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"
	"sampan.dev/internal/node/volume"

	corev1 "k8s.io/api/core/v1"
)

// operation is what is done for a pod: it starts and stops its containers, one task at a time.
//
// Its fields belong to the task under way, which has a goroutine of its own (worker.start), or to the worker while there is none.
// What others tell the pod, and what it tells them, is in its record.
type operation struct {
	*base
	*record
	roster *roster

	crash        podstate.Backoff
	pulls        image.Backoff
	holds        map[string]hold   // containers that could not be made
	heldAt       map[string]string // the run at whose end a container was last held back
	prepared     bool              // what the sandbox needs is there
	mounts       map[string]volume.Mounted
	retryShow    time.Time       // when contents of volumes that could not be renewed are tried again
	preStop      map[string]bool // containers whose hook was run
	failures     int             // of sandbox or volumes in a row
	nextTry      time.Time       // when the worker is to look again after the task
	failedResize int             // resizes in a row
	nextResize   time.Time       // when the next is tried
	network      bool            // an event has said that the network is not ready
}

func newOperation(b *base, all *roster, pod *record) *operation {
	return &operation{base: b, record: pod, roster: all, crash: podstate.NewBackoff(b.cfg.CrashMax), pulls: image.Backoff{},
		holds: map[string]hold{}, heldAt: map[string]string{}, preStop: map[string]bool{}}
}

// holdBack takes out of a what must wait for a crash loop back-off or an image pull back-off, and reports whether there
// was any, so that the status may show another reason. It calls again with the times at which they are to be looked at again.
func (o *operation) holdBack(pod *corev1.Pod, obs *runtime.Pod, a *podstate.Actions, now time.Time, again func(time.Time)) (changed bool) {
	keep := func(list []int, specs func(int) *corev1.Container) []int {
		var out []int
		for _, i := range list {
			c := specs(i)
			if until, held := o.held(pod, c, obs, now); held {
				again(until)
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
func (o *operation) held(pod *corev1.Pod, c *corev1.Container, obs *runtime.Pod, now time.Time) (time.Time, bool) {
	if until, tell, held := o.pulls.Holds(c.Name, c.Image, now); held {
		if tell != "" {
			o.events.Pod(pod, c.Name, corev1.EventTypeNormal, "BackOff", "Back-off pulling image %q", c.Image)
			o.failing(c.Name, "ImagePullBackOff", tell)
		}
		return until, true
	}
	if h := o.holds[c.Name+"\x00"+c.Image]; now.Before(h.until) {
		return h.until, true
	}
	s := lastExited(obs, c.Name)
	if s == nil {
		return time.Time{}, false
	}
	key := c.Name + "\x00" + c.Image
	until, held := o.crash.Holds(key, s.FinishedAt, now)
	if held && o.firstHold(c.Name, s.ID) {
		o.failing(c.Name, "CrashLoopBackOff", fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", o.crash.Wait(key), c.Name, pods.Describe(pod)))
		o.events.Pod(pod, c.Name, corev1.EventTypeWarning, "BackOff", "Back-off restarting failed container %s in pod %s", c.Name, pods.Describe(pod))
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
func (o *operation) holdOff(c *corev1.Container) {
	h := o.holds[c.Name+"\x00"+c.Image]
	h.until = time.Now().Add(jitter(min(time.Second<<min(h.tries, 4), 10*time.Second)))
	h.tries++
	o.holds[c.Name+"\x00"+c.Image] = h
}

// firstHold reports whether a container is held back for the first time since it exited as the run id.
func (o *operation) firstHold(name, id string) bool {
	if o.heldAt[name] == id {
		return false
	}
	o.heldAt[name] = id
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
func (o *operation) failed() {
	o.failures++
	o.nextTry = time.Now().Add(jitter(time.Second << min(o.failures-1, 4)))
}

// jitter spreads a delay over [d, 1.5d), so that what failed together is not tried again together.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/2+1))
}
