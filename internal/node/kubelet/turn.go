package kubelet

import (
	"context"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/admit"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
)

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
		w.roster.drop(w.uid)
		w.alloc.Release(w.uid)
		w.probed.Forget(w.uid)
		if w.certs != nil {
			w.certs.Forget(w.uid)
		}
		w.resizes.Retry()
		w.writer.Forget(w.uid)
	}
}

// turn looks at the pod once, publishes its status and begins what is to be done. It reports whether the worker is done.
func (w *worker) turn(ctx context.Context) bool {
	obs, err := w.rt.Pod(ctx, w.uid)
	if err != nil {
		if ctx.Err() == nil && !runtime.IsUnavailable(err) { // that the runtime is down the node's condition says, once
			w.cfg.Log.Warn("runtime not asked about a pod", "uid", w.uid, "error", err)
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
			w.mu.rejected = &admit.Rejection{Reason: "DeadlineExceeded", Message: "Pod was active on the node longer than the specified deadline"}
			w.events.Pod(pod, "", corev1.EventTypeNormal, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
			stage = terminating
		} else {
			w.again(over)
		}
	}
	w.mu.stage = stage
	w.mu.Unlock()
	pod = w.alloc.Given(pod)
	if stage == syncing {
		w.observeResize(pod, obs)
	}
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
		w.sync(ctx, pod, obs, status)
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
			w.writer.Finish(ctx, pod)
		}
	}
	return false
}
