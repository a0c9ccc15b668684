package podstatus

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/node/podstate"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// Writer brings the statuses of a node's pods to the hub, and keeps them there: a status that somebody else has changed, as the node
// controller does when a node is silent, is written again. A status that is replaced by a newer one before it was written is never
// written. A pod has a goroutine while it has something to write, and none otherwise.
//
// Invariant: a pod has at most one goroutine (outgoing.busy), so that an older status never overtakes a newer one. Everything in mu,
// the outgoing values too, is read and written under the lock; requests to the hub are made without it.
type Writer struct {
	door client.Interface
	log  *slog.Logger
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		pods map[types.UID]*outgoing
	}
}

// outgoing is what is known of one pod's status: what is to be written, and what the hub has.
type outgoing struct {
	pod     *corev1.Pod // where to write: name, namespace, uid
	status  *corev1.PodStatus
	written *corev1.PodStatus
	at      string // resourceVersion at which the hub's pod was last seen to hold written; "" before the first write
	finish  bool   // the pod is done with: delete it when its deletion was asked for
	busy    bool   // a goroutine writes
	running bool   // containers may still run, so that a terminal phase is not written yet
}

// RetryMax is the longest wait after a write that failed: a node that was cut off must not look dead for long afterwards.
const RetryMax = 5 * time.Second

func New(door client.Interface, log *slog.Logger) *Writer {
	w := &Writer{door: door, log: log}
	w.mu.pods = map[types.UID]*outgoing{}
	return w
}

// Set hands over a status, and the pod as it was last seen in the hub. running says that containers of the pod may still run.
func (w *Writer) Set(ctx context.Context, pod *corev1.Pod, s *corev1.PodStatus, running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.outLocked(pod)
	if o.status != nil && equality.Semantic.DeepEqual(o.status, s) && o.running == running && o.written == o.status && !o.astray() {
		return
	}
	o.status, o.running = s, running
	w.kickLocked(ctx, o)
}

// astray reports whether the hub's pod, as last seen, no longer says what was written to it. One that was seen before the
// write says nothing about that.
func (o *outgoing) astray() bool {
	if n, err := resourceversion.CompareResourceVersion(o.pod.ResourceVersion, o.at); err == nil && n <= 0 {
		return false
	}
	next := merge(o.pod, o.status, o.running)
	if !equality.Semantic.DeepEqual(&o.pod.Status, &next) {
		return true
	}
	o.at = o.pod.ResourceVersion
	return false
}

// Finish says that nothing of the pod is left on the node: it may vanish from the hub once its deletion was asked for.
func (w *Writer) Finish(ctx context.Context, pod *corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.outLocked(pod)
	o.finish = true
	w.kickLocked(ctx, o)
}

// Wait returns when no status is being written any more. Writes end with the context that they were handed over with.
func (w *Writer) Wait() { w.wg.Wait() }

// Forget drops what is known of a pod that is gone from the hub.
func (w *Writer) Forget(uid types.UID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.pods, uid)
}

func (w *Writer) outLocked(pod *corev1.Pod) *outgoing {
	o := w.mu.pods[pod.UID]
	if o == nil {
		o = &outgoing{}
		w.mu.pods[pod.UID] = o
	}
	o.pod = pod
	return o
}

func (w *Writer) kickLocked(ctx context.Context, o *outgoing) {
	if o.busy || w.door == nil || ctx.Err() != nil {
		return
	}
	o.busy = true
	w.wg.Add(1)
	go func() {
		defer w.wg.Done()
		w.drain(ctx, o)
	}()
}

// drain writes until nothing newer is left.
func (w *Writer) drain(ctx context.Context, o *outgoing) {
	delay := 50 * time.Millisecond
	for {
		w.mu.Lock()
		pod, status, running, finish := o.pod, o.status, o.running, o.finish
		if ctx.Err() != nil || status == o.written && !(finish && pod.DeletionTimestamp != nil) {
			o.busy = false
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		at, err := w.write(ctx, pod, status, running)
		if err == nil && finish && pod.DeletionTimestamp != nil {
			err = w.Remove(ctx, pod)
		}
		if err == nil {
			w.mu.Lock()
			o.written, o.at = status, at
			if finish && pod.DeletionTimestamp != nil {
				o.busy = false
				w.mu.Unlock()
				return
			}
			w.mu.Unlock()
			delay = 50 * time.Millisecond
			continue
		}
		w.log.Log(ctx, map[bool]slog.Level{true: slog.LevelWarn}[delay > time.Second], "pod status not written, trying again", "pod", pod.Namespace+"/"+pod.Name, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, RetryMax)
	}
}

// write patches the difference between the hub's status and ours, and returns the resourceVersion at which the hub has ours. A
// pod that is gone or is another one by now is fine.
func (w *Writer) write(ctx context.Context, pod *corev1.Pod, status *corev1.PodStatus, running bool) (at string, err error) {
	if status == nil {
		return "", nil
	}
	cur, err := client.Get[*corev1.Pod](ctx, w.door, client.Pods, pod.Namespace, pod.Name)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if cur.UID != pod.UID {
		return "", nil
	}
	next := merge(cur, status, running)
	if equality.Semantic.DeepEqual(&cur.Status, &next) {
		return cur.ResourceVersion, nil
	}
	out, err := w.put(ctx, cur, &next)
	if apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return out.GetResourceVersion(), nil
}

// put writes next, which differs from cur's status.
func (w *Writer) put(ctx context.Context, cur *corev1.Pod, next *corev1.PodStatus) (metav1.Object, error) {
	if client.IsNear(w.door) {
		obj := cur.DeepCopy()
		next.DeepCopyInto(&obj.Status)
		out, err := client.UpdateStatus(ctx, w.door, client.Pods, obj)
		if !apierrors.IsConflict(err) { // somebody else wrote meanwhile, and a patch says only what is ours
			return out, err
		}
	}
	patch, err := statusPatch(cur, next)
	if err != nil {
		return nil, err
	}
	ref := client.Ref{Resource: client.Pods, Namespace: cur.Namespace, Name: cur.Name, Subresource: "status"}
	out, err := w.door.Patch(ctx, ref, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		return nil, err
	}
	return meta.Accessor(out)
}

// merge keeps what others own in the hub's status, and holds back a terminal phase while containers may run.
func merge(cur *corev1.Pod, ours *corev1.PodStatus, running bool) corev1.PodStatus {
	next := *ours.DeepCopy()
	was := cur.Status.Phase
	ends := func(p corev1.PodPhase) bool { return p == corev1.PodSucceeded || p == corev1.PodFailed }
	turning := !ends(was) && ends(next.Phase)
	var conditions []corev1.PodCondition
	for _, c := range cur.Status.Conditions {
		if !slices.Contains(podstate.OwnConditions, c.Type) {
			conditions = append(conditions, c)
		}
	}
	for _, c := range next.Conditions {
		if slices.Contains(podstate.OwnConditions, c.Type) ||
			c.Type == corev1.DisruptionTarget && turning && !running && pods.FindCondition(conditions, c.Type) == nil {
			conditions = append(conditions, c)
		}
	}
	next.Conditions = conditions
	if turning && running {
		next.Phase, next.Reason, next.Message = cur.Status.Phase, cur.Status.Reason, cur.Status.Message
	}
	if ends(next.Phase) {
		reason := "PodCompleted"
		if next.Phase == corev1.PodFailed {
			reason = "PodFailed"
		}
		for i := range next.Conditions {
			c := &next.Conditions[i]
			if (c.Type == corev1.PodReady || c.Type == corev1.ContainersReady) && c.Status == corev1.ConditionTrue {
				c.Status, c.Reason, c.Message = corev1.ConditionFalse, reason, ""
			}
		}
	}
	next.ResourceClaimStatuses = cur.Status.ResourceClaimStatuses
	next.ExtendedResourceClaimStatus = cur.Status.ExtendedResourceClaimStatus
	next.NominatedNodeName = cur.Status.NominatedNodeName
	return next
}

// statusPatch returns the strategic merge patch from cur's status to next, which differs.
func statusPatch(cur *corev1.Pod, next *corev1.PodStatus) ([]byte, error) {
	before, err := json.Marshal(corev1.Pod{Status: cur.Status})
	if err != nil {
		return nil, err
	}
	// The uid is on the new side only, so that it is in the patch and a pod made anew under this name refuses it.
	after, err := json.Marshal(corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: cur.UID}, Status: *next})
	if err != nil {
		return nil, err
	}
	return strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Pod{})
}

// Remove ends a graceful deletion.
func (w *Writer) Remove(ctx context.Context, pod *corev1.Pod) error {
	zero := int64(0)
	err := w.door.Delete(ctx, client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name},
		metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &pod.UID}})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil // gone, or another pod of that name
	}
	return err
}
