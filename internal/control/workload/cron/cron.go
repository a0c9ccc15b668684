package cron

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/batch"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

type controller struct {
	loop.Env
	queue  *loop.Queue
	ledger *loop.Ledger
	crons  *cache.Informer[*batchv1.CronJob]
	jobs   *cache.Informer[*batchv1.Job]
	views  struct{ crons, jobs loop.View }
}

// New makes the cronjob-controller.
func New(env loop.Env) loop.Runner {
	c := &controller{Env: env, queue: loop.NewQueue(), ledger: loop.NewLedger()}
	c.crons = cache.For[*batchv1.CronJob](env.Informers, client.CronJobs, cache.Options{})
	c.jobs = cache.For[*batchv1.Job](env.Informers, client.Jobs, cache.Options{})
	c.jobs.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*batchv1.Job])
	c.views.crons, c.views.jobs = loop.ViewOf(c.crons), loop.ViewOf(c.jobs)
	c.crons.Handle(cache.Handler[*batchv1.CronJob]{
		Add:    func(o *batchv1.CronJob) { c.queue.Add(loop.Key(o)) },
		Update: c.changed,
		Delete: func(o *batchv1.CronJob) { c.queue.Add(loop.Key(o)) },
	})
	c.jobs.Handle(cache.Handler[*batchv1.Job]{
		Add: c.ofJob,
		Update: func(old, j *batchv1.Job) {
			a, b := metav1.GetControllerOfNoCopy(old), metav1.GetControllerOfNoCopy(j)
			if a != nil && (b == nil || a.UID != b.UID) {
				c.ofJob(old)
			}
			if (a == nil) != (b == nil) || a != nil && a.UID != b.UID || (batch.End(&old.Status) == nil) != (batch.End(&j.Status) == nil) {
				c.ofJob(j)
			}
		},
		Delete: c.ofJob,
	})
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: c.queue, Log: env.Log, Ledger: c.ledger,
		Synced: []<-chan struct{}{c.crons.Synced(), c.jobs.Synced()}, Reconcile: c.reconcile,
	}
}

// changed looks at a CronJob now, or, if its schedule is another, when that says.
func (c *controller) changed(old, o *batchv1.CronJob) {
	zone := func(o *batchv1.CronJob) string {
		if o.Spec.TimeZone == nil {
			return ""
		}
		return *o.Spec.TimeZone
	}
	if old.Spec.Schedule == o.Spec.Schedule && zone(old) == zone(o) {
		c.queue.Add(loop.Key(o))
		return
	}
	s, err := scheduleOf(o)
	if err != nil {
		c.Events.Eventf(o, corev1.EventTypeWarning, "UnParseableCronJobSchedule", "unparseable schedule for cronjob: %s", o.Spec.Schedule)
		return
	}
	c.queue.AddAfter(loop.Key(o), untilNext(o, s, time.Now()))
}

// ofJob looks at the CronJob of a Job.
func (c *controller) ofJob(j *batchv1.Job) {
	if ref := metav1.GetControllerOfNoCopy(j); ref != nil && ref.Kind == cronJobKind.Kind {
		c.queue.Add(loop.KeyOf(j.Namespace, ref.Name))
	}
}

func (c *controller) reconcile(ctx context.Context, key string) (time.Duration, error) {
	have, ok := c.crons.Get(loop.SplitKey(key))
	if !ok {
		c.ledger.Forget(key)
		return 0, nil
	}
	l, err := c.look(ctx, have)
	if err != nil {
		return 0, err
	}
	for _, j := range l.surplus() {
		c.remove(ctx, key, l, j) // what fails is told, and tried again at the next look
	}
	l.follow()
	p := l.plan()
	c.tell(l)
	failure := c.start(ctx, key, l, p)
	if err := c.put(ctx, key, l); err != nil {
		return 0, errors.Join(err, failure)
	}
	return p.next, failure
}

// look gathers what is known of a CronJob. What the views do not agree about is read anew.
func (c *controller) look(ctx context.Context, have *batchv1.CronJob) (*look, error) {
	l := &look{cron: have, now: time.Now(), gone: map[types.UID]bool{}, jobs: c.jobs.ByIndex(loop.OwnerIndexName, string(have.UID))}
	slices.SortFunc(l.jobs, compareStart)
	if slices.ContainsFunc(l.jobs, func(j *batchv1.Job) bool { return batch.End(&j.Status) == nil && !l.isActive(j.UID) }) {
		fresh, err := client.Get[*batchv1.CronJob](ctx, c.Door, client.CronJobs, have.Namespace, have.Name)
		if err != nil {
			return nil, err
		}
		if fresh.UID == have.UID {
			l.cron = fresh
		}
	}
	for _, ref := range l.cron.Status.Active {
		if slices.ContainsFunc(l.jobs, func(j *batchv1.Job) bool { return j.UID == ref.UID }) {
			continue
		}
		_, err := client.Get[*batchv1.Job](ctx, c.Door, client.Jobs, ref.Namespace, ref.Name)
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		l.gone[ref.UID] = err != nil
	}
	own := *l.cron
	own.Status = *l.cron.Status.DeepCopy()
	l.cron = &own
	return l, nil
}

// start makes the Job that a plan asks for, after those that have to make way are deleted.
func (c *controller) start(ctx context.Context, key string, l *look, p plan) error {
	if p.start.IsZero() {
		return nil
	}
	for _, ref := range p.replace {
		j, err := client.Get[*batchv1.Job](ctx, c.Door, client.Jobs, ref.Namespace, ref.Name)
		if err != nil {
			c.Events.Eventf(l.cron, corev1.EventTypeWarning, "FailedGet", "Get job: %v", err)
			return err
		}
		if !c.remove(ctx, key, l, j) {
			return fmt.Errorf("could not replace job %s/%s", j.Namespace, j.Name)
		}
	}
	j, err := jobFor(l.cron, p.start)
	if err != nil {
		return err
	}
	made, err := client.Create(ctx, c.Door, client.Jobs, j)
	switch {
	case err == nil:
		c.ledger.Wrote(key, c.views.jobs, made)
		c.Events.Event(l.cron, corev1.EventTypeNormal, "SuccessfulCreate", "Created job "+made.Name)
	case apierrors.IsAlreadyExists(err):
		// Made before, and not written down; or by somebody else, whose it is.
		if made, err = client.Get[*batchv1.Job](ctx, c.Door, client.Jobs, j.Namespace, j.Name); err != nil {
			return err
		}
		if !metav1.IsControlledBy(made, l.cron) || l.isActive(made.UID) {
			return nil
		}
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return err
	default:
		if ctx.Err() == nil {
			c.Events.Eventf(l.cron, corev1.EventTypeWarning, "FailedCreate", "Error creating job: %v", err)
		}
		return err
	}
	l.started(made, p.start)
	return nil
}

// remove deletes a Job with its pods and reports whether it could.
func (c *controller) remove(ctx context.Context, key string, l *look, j *batchv1.Job) bool {
	background := metav1.DeletePropagationBackground
	err := c.Door.Delete(ctx, client.Ref{Resource: client.Jobs, Namespace: j.Namespace, Name: j.Name},
		metav1.DeleteOptions{PropagationPolicy: &background, Preconditions: &metav1.Preconditions{UID: &j.UID}})
	switch {
	case err == nil:
		c.Events.Event(l.cron, corev1.EventTypeNormal, "SuccessfulDelete", "Deleted job "+j.Name)
	case apierrors.IsNotFound(err): // somebody else was faster
	default:
		if ctx.Err() == nil {
			c.Events.Eventf(l.cron, corev1.EventTypeWarning, "FailedDelete", "Deleted job: %v", err)
		}
		return false
	}
	c.ledger.Deleted(key, c.views.jobs, j)
	l.forget(j.UID)
	return true
}

// put writes the status if it has changed.
func (c *controller) put(ctx context.Context, key string, l *look) error {
	if !l.dirty {
		return nil
	}
	out, err := client.UpdateStatus(ctx, c.Door, client.CronJobs, l.cron)
	if err != nil {
		return err
	}
	c.ledger.Wrote(key, c.views.crons, api.Object(out))
	return nil
}

func (c *controller) tell(l *look) {
	for _, e := range l.events {
		c.Events.Event(l.cron, e.kind, e.reason, e.message)
	}
	l.events = nil
}
