package job

import (
	"context"
	"encoding/json"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control/loop"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// orphans takes the finalizers off pods that no Job will count: theirs is gone, has let them go, or has ended.
type orphans struct {
	jobs    *controller
	queue   *loop.Queue // keys of pods
	workers *loop.Controller
}

func newOrphans(c *controller, synced []<-chan struct{}) *orphans {
	o := &orphans{jobs: c, queue: loop.NewQueueWith(loop.Backoff{First: time.Second, Longest: time.Minute})}
	o.workers = &loop.Controller{Name: c.Name + "-orphans", Workers: 5, Queue: o.queue, Log: c.Log, Synced: synced, Reconcile: o.reconcile}
	return o
}

// see has a pod looked at that may be nobody's: it has no controller, or is on its way out while its Job does not count.
func (o *orphans) see(p *corev1.Pod) {
	if !tracked(p) {
		return
	}
	ref := metav1.GetControllerOfNoCopy(p)
	if ref == nil || isJob(ref) && p.DeletionTimestamp != nil && !o.counts(p, ref) {
		o.queue.Add(loop.Key(p))
	}
}

// ofJob has all pods of a Job looked at that is gone or has ended.
func (o *orphans) ofJob(j *batchv1.Job) {
	for _, p := range o.jobs.pods.ByIndex(loop.OwnerIndexName, string(j.UID)) {
		if tracked(p) {
			o.queue.Add(loop.Key(p))
		}
	}
}

// counts reports whether the Job that a pod says it is of will count it.
func (o *orphans) counts(p *corev1.Pod, ref *metav1.OwnerReference) bool {
	j, ok := o.jobs.jobs.Get(p.Namespace, ref.Name)
	return ok && j.UID == ref.UID && !finished(j)
}

func (o *orphans) reconcile(ctx context.Context, key string) (time.Duration, error) {
	p, ok := o.jobs.pods.Get(loop.SplitKey(key))
	if !ok || !tracked(p) {
		return 0, nil
	}
	if ref := metav1.GetControllerOfNoCopy(p); ref != nil {
		if !isJob(ref) || o.counts(p, ref) {
			return 0, nil
		}
		if j, ok := o.jobs.jobs.Get(p.Namespace, ref.Name); ok && j.UID == ref.UID && foreign(j) {
			return 0, nil // its controller sees to that
		}
	}
	_, err := takeOff(ctx, o.jobs.Door, p)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	return 0, err
}

// takeOff takes the tracking finalizer off a pod, and not off another of its name.
func takeOff(ctx context.Context, door client.Interface, p *corev1.Pod) (*corev1.Pod, error) {
	data, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":                                 p.UID,
		"$deleteFromPrimitiveList/finalizers": []string{batchv1.JobTrackingFinalizer},
	}})
	if err != nil {
		return nil, err
	}
	ref := client.Ref{Resource: client.Pods, Namespace: p.Namespace, Name: p.Name}
	out, err := door.Patch(ctx, ref, types.StrategicMergePatchType, data, metav1.PatchOptions{})
	if err != nil {
		return nil, err
	}
	pod, _ := out.(*corev1.Pod)
	return pod, nil
}
