package job

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/workload/podcontrol"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// gather is how long what happens to the pods of a Job is gathered before the Job is looked at. Upstream gathers for a second.
const gather = 100 * time.Millisecond

// controller is the job-controller. Its record of failures is of the Jobs that have not ended; it is empty after a start, as
// upstream's is. mu guards it.
type controller struct {
	loop.Env
	queue   *loop.Queue
	ledger  *loop.Ledger
	jobs    *cache.Informer[*batchv1.Job]
	pods    *cache.Informer[*corev1.Pod]
	views   struct{ jobs, pods loop.View }
	writer  podcontrol.Writer
	orphans *orphans

	mu struct {
		sync.Mutex
		failures map[string]failures // by key
	}
}

// New makes the job-controller.
func New(env loop.Env) loop.Runner {
	c := &controller{Env: env, ledger: loop.NewLedger(), queue: loop.NewQueueWith(loop.Backoff{First: time.Second, Longest: time.Minute})}
	c.mu.failures = map[string]failures{}
	c.jobs = cache.For[*batchv1.Job](env.Informers, client.Jobs, cache.Options{})
	c.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	c.pods.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*corev1.Pod])
	c.views.jobs, c.views.pods = loop.ViewOf(c.jobs), loop.ViewOf(c.pods)
	c.writer = podcontrol.Writer{Env: env, Ledger: c.ledger, View: c.views.pods}
	synced := []<-chan struct{}{c.jobs.Synced(), c.pods.Synced()}
	c.orphans = newOrphans(c, synced)
	c.jobs.Handle(c.ofJobs())
	c.pods.Handle(c.ofPods())
	return loop.All{
		&loop.Controller{Name: env.Name, Workers: 5, Queue: c.queue, Log: env.Log, Ledger: c.ledger, Synced: synced, Reconcile: c.reconcile},
		c.orphans.workers,
	}
}

// ofJobs has a Job looked at when it changes: at once when what is asked of it does, else with what happens to its pods.
func (c *controller) ofJobs() cache.Handler[*batchv1.Job] {
	return cache.Handler[*batchv1.Job]{
		Add: func(j *batchv1.Job) { c.queue.Add(loop.Key(j)) },
		Update: func(old, j *batchv1.Job) {
			switch {
			case finished(j), old.Generation != j.Generation || (old.DeletionTimestamp == nil) != (j.DeletionTimestamp == nil):
				c.queue.Add(loop.Key(j))
			default:
				c.queue.AddAfter(loop.Key(j), gather)
			}
		},
		Delete: func(j *batchv1.Job) {
			c.orphans.ofJob(j)
			c.queue.Add(loop.Key(j))
		},
	}
}

// ofPods has the Job looked at that a pod belongs, or belonged, to.
func (c *controller) ofPods() cache.Handler[*corev1.Pod] {
	changed := func(p *corev1.Pod) {
		c.orphans.see(p)
		if ref := metav1.GetControllerOfNoCopy(p); ref != nil {
			if isJob(ref) {
				c.queue.AddAfter(loop.KeyOf(p.Namespace, ref.Name), gather)
			}
			return
		}
		if p.DeletionTimestamp == nil && len(p.Labels) > 0 {
			c.offer(p)
		}
	}
	return cache.Handler[*corev1.Pod]{
		Add: changed,
		Update: func(old, p *corev1.Pod) {
			if !matters(old, p) {
				return
			}
			if a, b := metav1.GetControllerOfNoCopy(old), metav1.GetControllerOfNoCopy(p); a != nil && isJob(a) && (b == nil || a.UID != b.UID) {
				c.queue.AddAfter(loop.KeyOf(p.Namespace, a.Name), gather)
			}
			changed(p)
		},
		Delete: changed,
	}
}

// offer has every Job looked at that would adopt a pod.
func (c *controller) offer(p *corev1.Pod) {
	for _, j := range c.jobs.List(p.Namespace) {
		sel, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
		if err == nil && !sel.Empty() && sel.Matches(labels.Set(p.Labels)) {
			c.queue.AddAfter(loop.Key(j), gather)
		}
	}
}

func isJob(ref *metav1.OwnerReference) bool {
	return ref.Kind == jobKind.Kind && ref.APIVersion == jobKind.GroupVersion().String()
}

// matters reports whether a Job looks at anything that has changed of a pod.
func matters(old, p *corev1.Pod) bool {
	ready := func(p *corev1.Pod) bool { return loop.PodReady(p) }
	return old.UID != p.UID || old.Status.Phase != p.Status.Phase || loop.PodTerminal(p) ||
		(old.DeletionTimestamp == nil) != (p.DeletionTimestamp == nil) || p.DeletionTimestamp != nil ||
		ready(old) != ready(p) || restarts(old) != restarts(p) || tracked(old) != tracked(p) ||
		!maps.Equal(old.Labels, p.Labels) || !maps.Equal(old.Annotations, p.Annotations) ||
		!slices.EqualFunc(old.OwnerReferences, p.OwnerReferences, func(a, b metav1.OwnerReference) bool { return a.UID == b.UID })
}

func (c *controller) reconcile(ctx context.Context, key string) (time.Duration, error) {
	job, ok := c.jobs.Get(loop.SplitKey(key))
	if !ok || finished(job) {
		c.setFailures(key, failures{})
		if !ok {
			c.ledger.Forget(key)
			return 0, nil
		}
		// Not before: the view of the pods shows by now which finalizers were taken off when they were counted.
		c.orphans.ofJob(job)
		return 0, nil
	}
	if foreign(job) {
		return 0, nil
	}
	if m := job.Spec.CompletionMode; m != nil && *m != batchv1.NonIndexedCompletion && *m != batchv1.IndexedCompletion {
		c.Events.Event(job, corev1.EventTypeWarning, "UnknownCompletionMode", "Skipped Job sync because completion mode is unknown")
		return 0, nil
	}
	pods, changed, err := c.ownPods(ctx, key, job)
	if err != nil || changed {
		return 0, err // the view will show them as they are now
	}
	if c.behind(job, pods) {
		return time.Second, nil
	}
	l := lookAt(job, pods, c.failuresOf(key), time.Now())
	next := max(0, l.deadline())
	wait, failure := c.act(ctx, key, l)
	if wait > 0 && (next == 0 || wait < next) {
		next = wait
	}
	if err := c.record(ctx, key, l); err != nil {
		if apierrors.IsNotFound(err) {
			return 0, nil
		}
		return 0, err
	}
	return next, failure
}

// behind reports whether the view of the pods is older than that of the Job where that matters: a pod that the status has not
// counted and the view does not have is gone only if the view has got as far.
func (c *controller) behind(job *batchv1.Job, pods []*corev1.Pod) bool {
	u := job.Status.UncountedTerminatedPods
	if u == nil || len(u.Succeeded)+len(u.Failed) == 0 {
		return false
	}
	gone := len(u.Succeeded) + len(u.Failed)
	for _, p := range pods {
		if slices.Contains(u.Succeeded, p.UID) || slices.Contains(u.Failed, p.UID) {
			gone--
		}
	}
	return gone > 0 && !loop.Reached(c.views.pods, job)
}

// ownPods returns the pods of a Job, an indexed Job's in the order of their indexes. changed says that some were adopted or
// released.
func (c *controller) ownPods(ctx context.Context, key string, job *batchv1.Job) (pods []*corev1.Pod, changed bool, err error) {
	selector, err := metav1.LabelSelectorAsSelector(job.Spec.Selector)
	if err != nil {
		c.Log.Error("selector does not parse", "key", key, "err", err) // validation lets none through
		return nil, true, nil
	}
	candidates := slices.Concat(c.pods.ByIndex(loop.OwnerIndexName, string(job.UID)), c.pods.ByIndex(loop.OwnerIndexName, loop.Orphans(job.Namespace)))
	claimer := &loop.Claimer{
		Door: c.Door, Resource: client.Pods, Owner: job, OwnerKind: jobKind, OwnerResource: client.Jobs, Selector: selector,
		Finalizer: batchv1.JobTrackingFinalizer,
		Wrote: func(obj api.Object) {
			changed = true
			c.ledger.Wrote(key, c.views.pods, obj)
		},
	}
	pods, err = loop.ClaimAll(ctx, claimer, candidates)
	if indexed(job) {
		slices.SortStableFunc(pods, func(a, b *corev1.Pod) int { return cmp.Compare(indexOf(a), indexOf(b)) })
	}
	return pods, changed, err
}

// record writes what has come of the Job into its status and takes the finalizers off the pods that are counted, in as many
// rounds as it takes: what a round has exchanged for numbers is written with the UIDs of the next.
func (c *controller) record(ctx context.Context, key string, l *look) error {
	for more := true; more; {
		var release []*corev1.Pod
		release, more = l.count()
		if err := c.put(ctx, key, l); err != nil {
			return err
		}
		c.setFailures(key, l.failures)
		failed := c.release(ctx, key, l, release)
		l.settle()
		if failed != nil {
			return errors.Join(failed, c.put(ctx, key, l))
		}
	}
	tell := l.finish()
	if err := c.put(ctx, key, l); err != nil {
		return err
	}
	c.tell(l.job, tell)
	return nil
}

// put writes the status if it has changed.
func (c *controller) put(ctx context.Context, key string, l *look) error {
	if !l.dirty {
		return nil
	}
	out, err := client.UpdateStatus(ctx, c.Door, client.Jobs, l.job)
	if err != nil {
		return err
	}
	c.ledger.Wrote(key, c.views.jobs, out)
	own := *out
	own.Status = *out.Status.DeepCopy()
	if own.Status.UncountedTerminatedPods == nil {
		own.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	l.job, l.dirty = &own, false
	return nil
}

func (c *controller) tell(job *batchv1.Job, what []happening) {
	for _, h := range what {
		c.Events.Event(job, h.kind, h.reason, h.message)
	}
}

func (c *controller) failuresOf(key string) failures {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.failures[key]
}

func (c *controller) setFailures(key string, f failures) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.count == 0 {
		delete(c.mu.failures, key)
	} else {
		c.mu.failures[key] = f
	}
}
