package source

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/podstatus"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Showing is what mirror pods are shown with.
type Showing struct {
	Hub    client.Interface // nil: nothing is shown
	Node   func() (*corev1.Node, bool)
	Writer *podstatus.Writer
	Wake   func(uid types.UID) // makes the static pod of that UID show its status again
	Log    *slog.Logger
}

// Mirrors keeps a mirror pod in the hub for each static pod, which shows its status there. A mirror that shows no static pod, or
// another than there is, is removed; one that somebody deletes is made anew. Every goroutine may call it.
//
// Invariant: a mirror has at most one goroutine that removes it (removing), which tries until it has succeeded.
type Mirrors struct {
	with Showing
	set  *set
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		known    map[string]*corev1.Pod // what the hub has, by namespace/name
		removing map[types.UID]bool
	}
}

func newMirrors(with Showing, static *set) *Mirrors {
	m := &Mirrors{with: with, set: static}
	m.mu.known, m.mu.removing = map[string]*corev1.Pod{}, map[types.UID]bool{}
	return m
}

// key is where the mirror of a static pod is found: they have one name.
func key(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// Wait returns when no mirror is being made or removed any more; those end with the context that they were begun with.
func (m *Mirrors) Wait() { m.wg.Wait() }

// Count returns how many mirrors the hub has, and how many of them are being removed.
func (m *Mirrors) Count() (known, removing int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.known), len(m.mu.removing)
}

// Seen takes a mirror pod as the hub has it.
func (m *Mirrors) Seen(ctx context.Context, mirror *corev1.Pod) {
	m.mu.Lock()
	m.mu.known[key(mirror)] = mirror
	m.mu.Unlock()
	if m.stale(mirror) {
		m.remove(ctx, mirror)
		return
	}
	m.wakeStatic(mirror)
}

// Gone takes the last state of a mirror pod that the hub has no longer.
func (m *Mirrors) Gone(mirror *corev1.Pod) {
	m.mu.Lock()
	if known := m.mu.known[key(mirror)]; known != nil && known.UID == mirror.UID {
		delete(m.mu.known, key(mirror))
	}
	m.mu.Unlock()
	m.with.Writer.Forget(mirror.UID)
	m.wakeStatic(mirror)
}

func (m *Mirrors) wakeStatic(mirror *corev1.Pod) {
	if static := m.set.named(mirror.Namespace, mirror.Name); static != nil {
		m.with.Wake(static.UID)
	}
}

// Show shows a static pod's status on its mirror, which is made when there is none. running says that containers may still run.
func (m *Mirrors) Show(ctx context.Context, pod *corev1.Pod, s *corev1.PodStatus, running bool) {
	if m.with.Hub == nil {
		return
	}
	m.mu.Lock()
	mirror := m.mu.known[key(pod)]
	m.mu.Unlock()
	switch {
	case mirror != nil && shows(mirror, pod):
		m.with.Writer.Set(ctx, mirror, s, running)
	case mirror != nil:
		m.remove(ctx, mirror)
	case ctx.Err() == nil:
		m.make(ctx, pod)
	}
}

// shows reports whether a mirror is that of the very static pod rather than of an earlier one of its name.
func shows(mirror, static *corev1.Pod) bool {
	return mirror.Annotations[pods.AnnotationMirror] == static.Annotations[pods.AnnotationHash]
}

// make creates the mirror of a static pod. The node owns it, so it has to wait until the hub knows the node.
func (m *Mirrors) make(ctx context.Context, pod *corev1.Pod) {
	node, ok := m.with.Node()
	if !ok {
		time.AfterFunc(time.Second, func() { m.with.Wake(pod.UID) })
		return
	}
	yes := true
	made := pod.DeepCopy()
	made.UID, made.ResourceVersion, made.Status = "", "", corev1.PodStatus{}
	made.Annotations[pods.AnnotationMirror] = pod.Annotations[pods.AnnotationHash]
	made.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: &yes}}
	m.wg.Go(func() {
		if _, err := client.Create(ctx, m.with.Hub, client.Pods, made); err != nil && ctx.Err() == nil {
			m.with.Log.Debug("mirror pod not made", "pod", key(pod), "error", err)
			time.AfterFunc(5*time.Second, func() { m.with.Wake(pod.UID) })
		}
	})
}

// stale reports whether a mirror is known to show nothing of this node any more, or is being deleted. Nothing is known before
// every source has been read.
func (m *Mirrors) stale(mirror *corev1.Pod) bool {
	if !m.set.complete() {
		return false
	}
	static := m.set.named(mirror.Namespace, mirror.Name)
	return static == nil || mirror.DeletionTimestamp != nil || !shows(mirror, static)
}

// removeStale removes every mirror that is stale: those of manifests that went away while no kubelet ran are among them.
func (m *Mirrors) removeStale(ctx context.Context) {
	m.mu.Lock()
	known := make([]*corev1.Pod, 0, len(m.mu.known))
	for _, mirror := range m.mu.known {
		known = append(known, mirror)
	}
	m.mu.Unlock()
	for _, mirror := range known {
		if m.stale(mirror) {
			m.remove(ctx, mirror)
		}
	}
}

// remove takes a mirror off the hub, however often that has to be tried: nobody would tell that it is still there.
func (m *Mirrors) remove(ctx context.Context, mirror *corev1.Pod) {
	m.mu.Lock()
	busy := m.mu.removing[mirror.UID]
	m.mu.removing[mirror.UID] = true
	m.mu.Unlock()
	if busy {
		return
	}
	m.wg.Go(func() {
		for delay := 100 * time.Millisecond; m.with.Writer.Remove(ctx, mirror) != nil && ctx.Err() == nil; delay = min(2*delay, podstatus.RetryMax) {
			select {
			case <-ctx.Done():
			case <-time.After(delay):
			}
		}
		m.mu.Lock()
		delete(m.mu.removing, mirror.UID)
		m.mu.Unlock()
	})
}
