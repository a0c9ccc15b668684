package expire

import (
	"context"
	"time"

	"sampan.dev/internal/api/batch"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// New makes the ttl-after-finished-controller.
func New(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	jobs := cache.For[*batchv1.Job](env.Informers, client.Jobs, cache.Options{})
	see := func(j *batchv1.Job) {
		if _, ends := expiry(j); ends {
			queue.Add(loop.Key(j))
		}
	}
	jobs.Handle(cache.Handler[*batchv1.Job]{Add: see, Update: func(_, j *batchv1.Job) { see(j) }})
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{jobs.Synced()},
		Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			namespace, name := loop.SplitKey(key)
			j, ok := jobs.Get(namespace, name)
			if !ok {
				return 0, nil
			}
			if at, ends := expiry(j); !ends || time.Now().Before(at) {
				return left(at, ends), nil
			}
			// The last word has the hub: the time to live may have been made longer.
			fresh, err := client.Get[*batchv1.Job](ctx, env.Door, client.Jobs, namespace, name)
			if apierrors.IsNotFound(err) {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			if at, ends := expiry(fresh); !ends || time.Now().Before(at) {
				return left(at, ends), nil
			}
			return 0, remove(ctx, env.Door, fresh)
		},
	}
}

func remove(ctx context.Context, door client.Interface, j *batchv1.Job) error {
	foreground := metav1.DeletePropagationForeground
	return door.Delete(ctx, client.Ref{Resource: client.Jobs, Namespace: j.Namespace, Name: j.Name},
		metav1.DeleteOptions{PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &j.UID}})
}

// left is how long a Job still has, 0 for one that stays.
func left(at time.Time, ends bool) time.Duration {
	if !ends {
		return 0
	}
	return max(time.Nanosecond, time.Until(at))
}

// expiry says when a Job is to be deleted. ends is false of one that stays, has not ended, or is being deleted already.
func expiry(j *batchv1.Job) (at time.Time, ends bool) {
	end := batch.End(&j.Status)
	if j.DeletionTimestamp != nil || j.Spec.TTLSecondsAfterFinished == nil || end == nil || end.LastTransitionTime.IsZero() {
		return time.Time{}, false
	}
	return end.LastTransitionTime.Add(time.Duration(*j.Spec.TTLSecondsAfterFinished) * time.Second), true
}
