package load

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

// collection is what can be listed and watched.
type collection struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func podsOf(cs kubernetes.Interface, ns string) collection {
	p := cs.CoreV1().Pods(ns)
	return collection{func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return p.List(ctx, o) }, p.Watch}
}

func nodesOf(cs kubernetes.Interface) collection {
	n := cs.CoreV1().Nodes()
	return collection{func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return n.List(ctx, o) }, n.Watch}
}

// follow shows every object that there is and every change to see until it is satisfied: list, watch from there, and again when
// the server ends the watch, as a reflector does. The second argument of see says that the object is gone.
func follow[T runtime.Object](ctx context.Context, c collection, fields string, see func(T, bool) bool) error {
	for ctx.Err() == nil {
		l, err := c.list(ctx, metav1.ListOptions{FieldSelector: fields})
		if err != nil {
			wait(ctx, 20*time.Millisecond)
			continue
		}
		done := false
		_ = meta.EachListItem(l, func(o runtime.Object) error {
			if t, ok := o.(T); ok && !done {
				done = see(t, false)
			}
			return nil
		})
		if done {
			return nil
		}
		at, err := meta.NewAccessor().ResourceVersion(l)
		if err != nil {
			return err
		}
		if done, err = followFrom(ctx, c, fields, at, see); done || err != nil {
			return err
		}
	}
	return ctx.Err()
}

// followFrom is one watch; it returns false when the server ended it.
func followFrom[T runtime.Object](ctx context.Context, c collection, fields, at string, see func(T, bool) bool) (bool, error) {
	w, err := c.watch(ctx, metav1.ListOptions{FieldSelector: fields, ResourceVersion: at})
	if err != nil {
		wait(ctx, 20*time.Millisecond)
		return false, ctx.Err()
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case e, open := <-w.ResultChan():
			if !open || e.Type == watch.Error {
				return false, nil
			}
			if t, ok := e.Object.(T); ok && see(t, e.Type == watch.Deleted) {
				return true, nil
			}
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// podReady says that every container of p has passed its probes.
func podReady(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
