package kubelet

import (
	"context"
	"slices"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/allocation"
	"sampan.dev/internal/node/metrics"
	"sampan.dev/internal/node/podspec"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// worker runs one pod on the node, from the moment that a source names it until nothing of it is left.
//
// A worker has two goroutines at most. The first, run, turns: it asks the runtime what there is, publishes the status, and
// decides. What takes time (pulling, starting, stopping) it gives to the second, the operation under way, of which there is one
// at a time, so that the status keeps moving meanwhile. run lives as long as the pod does on this node, an operation for its
// one task.
//
// The stage of a pod only grows:
//
//	syncing      The pod is to run, and sync brings it nearer to its spec. The stage ends when the pod is deleted, its source
//	             no longer names it, the node rejects or evicts it, its deadline passes, or all its containers have ended.
//	terminating  Containers and sandboxes are stopped; nothing is started any more. Probes of readiness go on. A shorter grace
//	             period that arrives now cancels the stop under way, and it begins again with the shorter one.
//	terminated   The runtime has nothing of the pod that runs. A terminal status may be told; volumes and control groups go.
//	finished     The node has no more of the pod than logs, dead containers and directories, so the hub may let the pod go. When its source
//	             has let go of it too, these are removed and the worker ends.
//
// Who may ask what: every goroutine may use the pod's record. The operation's fields belong to the task under way: run leaves them
// alone until op is closed, and learns of the outcome from them afterwards. All else is run's own.
//
// Invariants: a pod that began to terminate is never started again under its UID; a second pod with the same name and another
// UID has a worker of its own. A terminal phase is not told while a container may still run.
type worker struct {
	*operation

	op     chan struct{} // closed when the task under way is done; nil when there is none
	retry  time.Time     // when to look again though nothing has woken the worker; zero: never
	probes *probes
	// Containers that the task under way stops in order to start them again, by id; nil without one. It is set before the
	// task begins and reset after it has ended, so that whatever a turn sees of the runtime in between, it knows of them.
	replaced map[string]bool
}

func newWorker(b *base, all *roster, pod *record) *worker {
	return &worker{operation: newOperation(b, all, pod), probes: newProbes(b, pod)}
}

// again asks for a turn at the given time at the latest.
func (w *worker) again(at time.Time) {
	if !at.IsZero() && (w.retry.IsZero() || at.Before(w.retry)) {
		w.retry = at
	}
}

// start runs fn as the task under way; its context is cancelled when the pod's fate changes.
func (w *worker) start(ctx context.Context, fn func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	w.op, w.nextTry = done, time.Time{}
	w.mu.Lock()
	w.mu.cancelOp = cancel
	w.mu.opGrace = w.graceLocked()
	w.mu.Unlock()
	go func() {
		defer close(done)
		fn(ctx)
		w.mu.Lock()
		w.mu.cancelOp = nil
		w.mu.Unlock()
		cancel()
	}()
}

// publish computes the status and hands it to the writer.
func (w *worker) publish(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod, terminal, running bool) *corev1.PodStatus {
	f := podstate.Facts{Pod: pod, Obs: obs, Terminal: terminal, HostIPs: w.node.IPs(), RuntimeName: w.health.Name(), Rro: w.health.RecursiveReadOnly()}
	f.Readiness, f.Startup = w.probes.results()
	f.Replaced = w.replaced
	if w.place != nil {
		f.Devices = func(container string) (out []corev1.ResourceStatus) {
			out = w.place.Status(pod.UID, container)
			if w.dra != nil && len(pod.Spec.ResourceClaims) > 0 {
				out = append(out, w.dra.Status(pod, container)...)
			}
			return out
		}
	}
	f.Actuated = w.alloc.Actuated.Get(pod.UID)
	if len(obs.Sandboxes) > 0 {
		if l, ok := w.cgroups.Limits(podspec.Cgroup(pod)); ok {
			f.Group = &l
		}
	}
	w.mu.Lock()
	old := w.mu.status
	if !terminal {
		f.Resize = w.resize.List()
	}
	f.Old, f.Wait = old, w.mu.wait
	s := podstate.Status(f)
	if r := w.mu.rejected; r != nil {
		s.Phase, s.Reason, s.Message = corev1.PodFailed, r.Reason, r.Message
		if len(obs.Sandboxes) == 0 { // it never was ours
			s.ContainerStatuses, s.InitContainerStatuses = nil, nil
		}
		if w.mu.disturbs != "" {
			podstate.Disrupted(&s, pod, w.mu.disturbs)
		}
	}
	podstate.Stamp(pod, &s, old, metav1.Now())
	again := slices.ContainsFunc(s.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.RestartCount > 0 })
	if old.Phase == corev1.PodPending && s.Phase == corev1.PodRunning && !again && s.StartTime != nil {
		w.counts.Took(metrics.PodStart, time.Since(s.StartTime.Time))
	}
	w.mu.status = &s
	gone := w.mu.gone
	w.mu.Unlock() // before anything else is locked: the roster's lock is taken before a record's
	switch {
	case gone:
	case pods.IsStatic(pod):
		w.static.Mirrors().Show(ctx, pod, &s, running)
	default:
		w.writer.Set(ctx, pod, &s, running)
	}
	return &s
}

// observeResize tells whether the pod is being brought to other resources, and when that is done.
func (w *worker) observeResize(pod *corev1.Pod, obs *runtime.Pod) {
	if podstate.Resizing(podstate.View{Pod: pod, Obs: obs, Actuated: w.alloc.Actuated.Get(pod.UID)}) {
		w.resize.UnderWay("", "", pod.Generation, time.Now())
		return
	}
	if generation, was := w.resize.Done(); was {
		w.events.Pod(pod, "", corev1.EventTypeNormal, "ResizeCompleted", "%s", allocation.Message("Pod resize completed", pod, generation, ""))
		w.resizes.Retry() // others may have the room that it gave up
	}
}
