package kubelet

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/image"
	"sampan.dev/internal/node/podstate"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// stage is how far a pod has come in its life on this node; the comment of worker says what each means.
type stage uint8

const (
	syncing     stage = iota // the pod is to run
	terminating              // its containers are being stopped
	terminated               // none of them runs; its volumes and control groups are removed
	finished                 // only logs and dead containers are left; the hub may let the pod go
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
// Who may ask what: every goroutine may call update, reject, poke, active and current, which take the lock and never wait for the
// pod. All else belongs to run or to the operation, as the groups of fields say: run leaves the operation's fields alone until op
// is closed, and learns of its outcome from them afterwards. The two share what stands in mu.
//
// Invariants: a pod that began to terminate is never started again under its UID; a second pod with the same name and another
// UID has a worker of its own. A terminal phase is not told while a container may still run.
type worker struct {
	k     *Kubelet
	uid   types.UID
	wakes chan struct{}

	mu struct {
		sync.Mutex
		pod      *corev1.Pod
		gone     bool       // the hub, or the static folder, has it no longer
		rejected *rejection // the node does not take it, or evicts it
		status   *corev1.PodStatus
		wait     map[string]podstate.Waiting
		stage    stage
		cancelOp context.CancelFunc // of the operation under way
		opGrace  int64              // the grace that a termination under way was begun with
	}

	// Owned by the goroutine of run.
	op     chan struct{} // closed when the operation under way is done; nil when there is none
	retry  time.Time     // when to look again though nothing has woken the worker; zero: never
	probes *probes
	// Containers that the operation under way stops in order to start them again, by id; nil without one. It is set before the
	// operation begins and reset after it has ended, so that whatever a turn sees of the runtime in between, it knows of them.
	replaced map[string]bool

	// Owned by the operation under way, or by run when there is none.
	crash     podstate.Backoff
	pulls     image.Backoff
	holds     map[string]hold   // containers that could not be made
	heldAt    map[string]string // the run at whose end a container was last held back
	prepared  bool
	mounts    map[string]mounted
	retryShow time.Time       // when contents of volumes that could not be renewed are tried again
	preStop   map[string]bool // containers whose hook was run
	failures  int             // of sandbox or volumes in a row
	nextTry   time.Time       // what the operation wants retry to be after it
	network   bool            // an event has said that the network is not ready
}

// rejection is why a node does not run a pod.
type rejection struct{ reason, message string }

func newWorker(k *Kubelet, pod *corev1.Pod) *worker {
	w := &worker{k: k, uid: pod.UID, wakes: make(chan struct{}, 1), crash: podstate.Backoff{}, pulls: image.Backoff{}, holds: map[string]hold{}, heldAt: map[string]string{}, preStop: map[string]bool{}}
	w.mu.pod = pod
	w.mu.status = pod.Status.DeepCopy()
	w.mu.wait = map[string]podstate.Waiting{}
	w.probes = newProbes(w)
	return w
}

// poke makes the worker look again.
func (w *worker) poke() {
	select {
	case w.wakes <- struct{}{}:
	default:
	}
}

// update hands over a newer state of the pod. A deletion cuts short what is being done for running it, and a shorter
// grace period cuts short a termination.
func (w *worker) update(pod *corev1.Pod, gone bool) {
	w.mu.Lock()
	if gone && pod.ResourceVersion == "" {
		pod = w.mu.pod
	}
	w.mu.pod = pod
	w.mu.gone = w.mu.gone || gone
	ends := pod.DeletionTimestamp != nil || w.mu.gone
	if w.mu.cancelOp != nil && ends && (w.mu.stage == syncing || w.mu.stage == terminating && w.graceLocked() < w.mu.opGrace) {
		w.mu.cancelOp()
	}
	w.mu.Unlock()
	w.poke()
}

func (w *worker) reject(r *rejection) {
	w.mu.Lock()
	w.mu.rejected = r
	if w.mu.cancelOp != nil && w.mu.stage == syncing {
		w.mu.cancelOp()
	}
	w.mu.Unlock()
	w.poke()
}

// active returns the pod and whether it still counts against the node's resources.
func (w *worker) active() (*corev1.Pod, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.mu.status.Phase
	return w.mu.pod, w.mu.stage <= terminating && w.mu.rejected == nil && p != corev1.PodSucceeded && p != corev1.PodFailed
}

// current returns the pod with the newest status that is known.
func (w *worker) current() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	pod := *w.mu.pod
	pod.Status = *w.mu.status
	return &pod
}

// graceLocked is how long the containers of a terminating pod are given, in seconds.
func (w *worker) graceLocked() int64 {
	pod := w.mu.pod
	switch {
	case w.mu.gone && !pods.IsStatic(pod):
		return 1 // it was deleted by force, or while no kubelet ran: nobody waits for it
	case pod.DeletionGracePeriodSeconds != nil:
		return max(1, *pod.DeletionGracePeriodSeconds)
	case pod.Spec.TerminationGracePeriodSeconds != nil:
		return max(1, *pod.Spec.TerminationGracePeriodSeconds)
	}
	return 30
}

// run turns until the pod is gone from everywhere, or ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.probes.stopAll()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.retry = time.Time{}
		if w.turn(ctx) || ctx.Err() != nil {
			break
		}
		var due <-chan time.Time
		if !w.retry.IsZero() {
			timer.Reset(time.Until(w.retry))
			due = timer.C
		}
		select {
		case <-ctx.Done():
		case <-w.wakes:
		case <-w.op:
			w.op, w.replaced = nil, nil
			w.again(w.nextTry)
		case <-due:
		}
	}
	if w.op != nil {
		<-w.op
	}
	if ctx.Err() == nil {
		w.k.drop(w.uid)
	}
}

// again asks for a turn at the given time at the latest.
func (w *worker) again(at time.Time) {
	if !at.IsZero() && (w.retry.IsZero() || at.Before(w.retry)) {
		w.retry = at
	}
}

// start runs fn as the operation under way; its context is cancelled when the pod's fate changes.
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

// turn looks at the pod once, publishes its status and begins what is to be done. It reports whether the worker is done.
func (w *worker) turn(ctx context.Context) bool {
	obs, err := w.k.rt.Pod(ctx, w.uid)
	if err != nil {
		if ctx.Err() == nil && !runtime.IsUnavailable(err) { // that the runtime is down the node's condition says, once
			w.k.cfg.Log.Warn("runtime not asked about a pod", "uid", w.uid, "error", err)
		}
		w.again(time.Now().Add(time.Second))
		return false
	}
	w.mu.Lock()
	pod, gone, rejected, stage := w.mu.pod, w.mu.gone, w.mu.rejected, w.mu.stage
	if stage == syncing && (pod.DeletionTimestamp != nil || gone || rejected != nil) {
		stage = terminating
	}
	if over, ok := w.deadlineLocked(pod); stage == syncing && ok {
		if left := time.Until(over); left <= 0 {
			w.mu.rejected = &rejection{"DeadlineExceeded", "Pod was active on the node longer than the specified deadline"}
			w.k.events.Pod(pod, "", corev1.EventTypeNormal, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
			stage = terminating
		} else {
			w.again(over)
		}
	}
	w.mu.stage = stage
	w.mu.Unlock()
	w.probes.sync(pod, obs, stage, w.replaced)
	running := obs.Running() || w.op != nil && stage == syncing
	status := w.publish(ctx, pod, obs, stage >= terminated, running)
	if stage == syncing && (status.Phase == corev1.PodSucceeded || status.Phase == corev1.PodFailed) {
		stage = terminating // it ended by itself; sidecars and the sandbox are still to be stopped
		w.setStage(stage)
	}
	if w.op != nil {
		return false
	}
	switch stage {
	case syncing:
		w.sync(ctx, pod, obs)
	case terminating:
		w.terminate(ctx, pod, obs)
	case terminated:
		w.dismantle(ctx, pod, obs)
	case finished:
		if gone {
			w.cleanup(ctx, pod, obs)
			return true
		}
		if !pods.IsStatic(pod) {
			w.k.writer.Finish(ctx, pod)
		}
	}
	return false
}

func (w *worker) setStage(s stage) {
	w.mu.Lock()
	w.mu.stage = s
	w.mu.Unlock()
}

// deadlineLocked returns when a pod has been active for too long.
func (w *worker) deadlineLocked(pod *corev1.Pod) (time.Time, bool) {
	start := w.mu.status.StartTime
	if pod.Spec.ActiveDeadlineSeconds == nil || start.IsZero() {
		return time.Time{}, false
	}
	return start.Add(time.Duration(*pod.Spec.ActiveDeadlineSeconds) * time.Second), true
}

// publish computes the status and hands it to the writer.
func (w *worker) publish(ctx context.Context, pod *corev1.Pod, obs *runtime.Pod, terminal, running bool) *corev1.PodStatus {
	f := podstate.Facts{Pod: pod, Obs: obs, Terminal: terminal, HostIPs: w.k.node.IPs(), RuntimeName: w.k.health.Name(), Rro: w.k.health.RecursiveReadOnly()}
	f.Readiness, f.Startup = w.probes.results()
	f.Replaced = w.replaced
	w.mu.Lock()
	old := w.mu.status
	f.Old, f.Wait = old, w.mu.wait
	s := podstate.Status(f)
	if r := w.mu.rejected; r != nil {
		s.Phase, s.Reason, s.Message = corev1.PodFailed, r.reason, r.message
		if len(obs.Sandboxes) == 0 { // it never was ours
			s.ContainerStatuses, s.InitContainerStatuses = nil, nil
		}
	}
	podstate.Stamp(pod, &s, old, metav1.Now())
	w.mu.status = &s
	gone := w.mu.gone
	w.mu.Unlock() // before anything else is locked: the kubelet's lock is taken before a worker's
	switch {
	case gone:
	case pods.IsStatic(pod):
		w.k.static.Mirrors().Show(ctx, pod, &s, running)
	default:
		w.k.writer.Set(ctx, pod, &s, running)
	}
	return &s
}

// failing reports why a container cannot be started; a reason of "" clears it.
func (w *worker) failing(name, reason, message string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if reason == "" {
		delete(w.mu.wait, name)
		return
	}
	w.mu.wait[name] = podstate.Waiting{Reason: reason, Message: message}
}

// jitter spreads a delay over [d, 1.5d), so that what failed together is not tried again together.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/2+1))
}
