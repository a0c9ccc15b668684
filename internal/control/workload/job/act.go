package job

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// act makes and deletes the pods of a Job. It returns when pods may be made that must not be yet.
func (c *controller) act(ctx context.Context, key string, l *look) (wait time.Duration, err error) {
	managed := false
	switch {
	case l.end != nil:
		// Those that ended are counted; what keeps them from going is their finalizer, which goes when they are.
		if err = c.removeAll(ctx, key, l, l.active, false); err != nil {
			l.end = nil // not yet: not all are on their way
		}
	case l.job.DeletionTimestamp == nil:
		managed = true
		p := l.plan()
		wait = p.wait
		if len(p.remove) > 0 {
			err = c.removeAll(ctx, key, l, p.remove, true)
		} else {
			err = c.create(ctx, key, l, p.create)
		}
	}
	c.tell(l.job, l.conclude(managed))
	return wait, err
}

// create makes pods, of no index where that is -1.
func (c *controller) create(ctx context.Context, key string, l *look, indexes []int) error {
	if len(indexes) == 0 {
		return nil
	}
	c.Log.Debug("too few pods", "key", key, "creating", len(indexes))
	maker := l.maker()
	var next atomic.Int64
	made, err := loop.SlowStart(len(indexes), func() error {
		return c.writer.Create(ctx, key, l.job, maker.pod(indexes[next.Add(1)-1]))
	})
	l.running += int32(made)
	return err
}

// removeAll deletes active pods; forget takes their finalizers off first, so that they are not counted. It keeps the numbers of
// the look true.
func (c *controller) removeAll(ctx context.Context, key string, l *look, pods []*corev1.Pod, forget bool) error {
	errs := make([]error, len(pods))
	loop.Together(len(pods), func(i int) {
		if forget {
			errs[i] = c.untrack(ctx, key, pods[i])
		}
		if errs[i] == nil {
			errs[i] = c.writer.Delete(ctx, key, l.job, pods[i])
		}
	})
	for i, p := range pods {
		if errs[i] != nil {
			continue
		}
		l.running--
		l.terminating++
		if loop.PodReady(p) {
			l.ready--
		}
		if forget {
			delete(l.held, p.UID)
		}
	}
	for _, err := range errs {
		if err != nil {
			return err // they are likely all the same
		}
	}
	return nil
}

// release takes the finalizers off pods that are counted.
func (c *controller) release(ctx context.Context, key string, l *look, pods []*corev1.Pod) error {
	errs := make([]error, len(pods))
	loop.Together(len(pods), func(i int) { errs[i] = c.untrack(ctx, key, pods[i]) })
	for i, p := range pods {
		if errs[i] == nil {
			delete(l.held, p.UID)
		}
	}
	return errors.Join(errs...)
}

// untrack takes the finalizer off a pod that has it. One that is gone has none.
func (c *controller) untrack(ctx context.Context, key string, p *corev1.Pod) error {
	if !tracked(p) {
		return nil
	}
	out, err := takeOff(ctx, c.Door, p)
	switch {
	case err == nil:
		c.ledger.Wrote(key, c.views.pods, out)
	case apierrors.IsNotFound(err):
		c.ledger.Deleted(key, c.views.pods, p)
	default:
		return fmt.Errorf("removing tracking finalizer: %w", err)
	}
	return nil
}
