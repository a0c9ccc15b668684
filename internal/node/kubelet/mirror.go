package kubelet

import (
	"context"
	"slices"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/podstatus"
	"sampan.dev/internal/node/runtime"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// predecessor reports whether a pod of the same name is still to be stopped: a changed file is a new pod, which waits for the old
// one as an update in place would. One that an earlier run has left has a worker once it was found to be an orphan.
func (k *Kubelet) predecessor(ctx context.Context, pod *corev1.Pod) bool {
	k.mu.Lock()
	adopted := k.mu.adopted
	for uid, w := range k.mu.workers {
		if uid == pod.UID {
			continue
		}
		if p, active := w.active(); active && p.Name == pod.Name && p.Namespace == pod.Namespace {
			k.mu.Unlock()
			return true
		}
	}
	k.mu.Unlock()
	if adopted {
		return false
	}
	pods, err := k.rt.List(ctx)
	return err != nil || slices.ContainsFunc(pods, func(p *runtime.Pod) bool {
		return p.Name == pod.Name && p.Namespace == pod.Namespace && p.UID != pod.UID && p.Running()
	})
}

// mirrorKey finds the mirror of a static pod.
func mirrorKey(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// mirrorSeen takes a mirror pod as the hub has it. One that shows no static pod of ours, or is being deleted, goes.
func (k *Kubelet) mirrorSeen(ctx context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	k.mu.mirrors[mirrorKey(pod)] = pod
	static, stale := k.staticOfLocked(pod), k.staleLocked(pod)
	k.mu.Unlock()
	switch {
	case stale:
		k.removeMirror(ctx, pod)
	case static != nil:
		k.wake(static.UID)
	}
}

// staleLocked reports whether a mirror is known to show nothing of ours any more.
func (k *Kubelet) staleLocked(mirror *corev1.Pod) bool {
	if k.mu.sources != (sources{true, true}) {
		return false // its manifest may be in one that is still to be read
	}
	static := k.staticOfLocked(mirror)
	return static == nil || mirror.DeletionTimestamp != nil || mirror.Annotations[pods.AnnotationMirror] != static.Annotations[pods.AnnotationHash]
}

// removeStale removes every mirror that is stale: those of manifests that went away while no kubelet ran are among them.
func (k *Kubelet) removeStale(ctx context.Context) {
	k.mu.Lock()
	var stale []*corev1.Pod
	for _, m := range k.mu.mirrors {
		if k.staleLocked(m) {
			stale = append(stale, m)
		}
	}
	k.mu.Unlock()
	for _, m := range stale {
		k.removeMirror(ctx, m)
	}
}

// removeMirror takes a mirror away, however often that has to be tried: nobody would tell that it is still there.
func (k *Kubelet) removeMirror(ctx context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	busy := k.mu.removing[pod.UID]
	k.mu.removing[pod.UID] = true
	k.mu.Unlock()
	if busy {
		return
	}
	k.go1(func() {
		for delay := 100 * time.Millisecond; k.writer.Remove(ctx, pod) != nil && ctx.Err() == nil; delay = min(2*delay, podstatus.RetryMax) {
			select {
			case <-ctx.Done():
			case <-time.After(delay):
			}
		}
		k.mu.Lock()
		delete(k.mu.removing, pod.UID)
		k.mu.Unlock()
	})
}

func (k *Kubelet) mirrorGone(_ context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	if m := k.mu.mirrors[mirrorKey(pod)]; m != nil && m.UID == pod.UID {
		delete(k.mu.mirrors, mirrorKey(pod))
	}
	static := k.staticOfLocked(pod)
	k.mu.Unlock()
	k.writer.Forget(pod.UID)
	if static != nil {
		k.wake(static.UID)
	}
}

func (k *Kubelet) staticOfLocked(mirror *corev1.Pod) *corev1.Pod {
	for _, p := range k.mu.static {
		if p.Name == mirror.Name && p.Namespace == mirror.Namespace {
			return p
		}
	}
	return nil
}

// mirror shows a static pod's status on its mirror, which is made when there is none.
func (k *Kubelet) mirror(ctx context.Context, pod *corev1.Pod, s *corev1.PodStatus, running bool) {
	if k.cfg.Door == nil {
		return
	}
	k.mu.Lock()
	m := k.mu.mirrors[mirrorKey(pod)]
	k.mu.Unlock()
	if m != nil && m.Annotations[pods.AnnotationMirror] == pod.Annotations[pods.AnnotationHash] {
		k.writer.Set(ctx, m, s, running)
		return
	}
	if m != nil {
		k.removeMirror(ctx, m)
		return
	}
	if ctx.Err() != nil {
		return
	}
	n, ok := k.node.Get("", k.cfg.NodeName)
	if !ok {
		time.AfterFunc(time.Second, func() { k.wake(pod.UID) })
		return
	}
	yes := true
	made := pod.DeepCopy()
	made.UID, made.ResourceVersion, made.Status = "", "", corev1.PodStatus{}
	made.Annotations[pods.AnnotationMirror] = pod.Annotations[pods.AnnotationHash]
	made.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID, Controller: &yes}}
	k.go1(func() {
		if _, err := client.Create(ctx, k.cfg.Door, client.Pods, made); err != nil && ctx.Err() == nil {
			k.cfg.Log.Debug("mirror pod not made", "pod", mirrorKey(pod), "error", err)
			time.AfterFunc(5*time.Second, func() { k.wake(pod.UID) })
		}
	})
}

// go1 runs fn on a goroutine that Run waits for.
func (k *Kubelet) go1(fn func()) {
	k.wg.Add(1)
	go func() {
		defer k.wg.Done()
		fn()
	}()
}
