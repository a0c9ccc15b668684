package load

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// cascade deletes -many Deployments, their ReplicaSets and pods, n objects together, through their owner references.
func (r *run) cascade() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	watcher, err := r.client()
	if err != nil {
		return err
	}
	ns := r.space
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	pods, err := r.fleet(cs, ns)
	if err != nil {
		return err
	}
	t, err := r.count(ns, "v1 pods", "v1 events", "apps/v1 replicasets", "apps/v1 deployments")
	if err != nil {
		return err
	}
	defer t.stop()
	ready, told := make(chan struct{}), false
	gone := make(chan error, 1)
	left := make(map[string]bool, pods)
	go func() {
		gone <- follow(r.ctx, podsOf(watcher, ns), "", func(p *corev1.Pod, gone bool) bool {
			if gone {
				delete(left, p.Name)
				return len(left) == 0
			}
			left[p.Name] = true
			if len(left) == pods && !told {
				told = true
				close(ready)
			}
			return false
		})
	}()
	select {
	case <-ready:
	case err := <-gone:
		return err
	}
	r.pause(2 * statusDelay)
	before := r.pids.Take()
	background := metav1.DeletePropagationBackground
	if err := each(r.many, r.workers, func(_, i int) error {
		return cs.AppsV1().Deployments(ns).Delete(r.ctx, fmt.Sprintf("d%03d", i), metav1.DeleteOptions{PropagationPolicy: &background})
	}); err != nil {
		return err
	}
	if err := <-gone; err != nil {
		return fmt.Errorf("%d pods are left: %w", len(left), err)
	}
	if err := r.until(5*time.Millisecond, func() bool {
		l, err := cs.AppsV1().ReplicaSets(ns).List(r.ctx, metav1.ListOptions{Limit: 1})
		return err == nil && len(l.Items) == 0
	}); err != nil {
		return err
	}
	used := r.window(before)
	r.put("s", used.At.Sub(before.At).Seconds())
	r.put("cpu_us", 1e6*used.CPU/float64(r.n))
	r.putWrites(t, r.many, r.n)
	return nil
}

// fleet makes -many Deployments of as many pods that there are n objects, and returns how many of them are pods.
func (r *run) fleet(cs kubernetes.Interface, ns string) (int, error) {
	replicas := int32(r.n/r.many - 2)
	p := smallPod(ns, "x")
	p.Spec.SchedulerName = nobody
	err := each(r.many, r.workers, func(_, i int) error {
		_, err := cs.AppsV1().Deployments(ns).Create(r.ctx, deployment(ns, fmt.Sprintf("d%03d", i), replicas, p), metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return 0, err
	}
	err = r.until(200*time.Millisecond, func() bool {
		l, err := cs.AppsV1().Deployments(ns).List(r.ctx, metav1.ListOptions{})
		if err != nil || len(l.Items) < r.many {
			return false
		}
		for i := range l.Items {
			if l.Items[i].Status.Replicas != replicas {
				return false
			}
		}
		return true
	})
	return int(replicas) * r.many, err
}
