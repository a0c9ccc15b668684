package load

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// scale grows a Deployment from nothing to n replicas and measures until so many pod objects exist. No scheduler looks at them.
func (r *run) scale() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	ns := fmt.Sprintf("bench-scale-%d", r.n)
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	p := smallPod(ns, "x")
	p.Spec.SchedulerName, p.Spec.NodeSelector = nobody, neverNode
	if err := r.deploy(cs, ns, "d", p); err != nil {
		return err
	}
	watcher, err := r.client()
	if err != nil {
		return err
	}
	r.pause(time.Second)
	before := r.pids.Take()
	if err := r.replicas(cs, ns, "d", r.n); err != nil {
		return err
	}
	seen := make(map[string]bool, r.n)
	var first time.Time
	err = follow(r.ctx, podsOf(watcher, ns), "", func(p *corev1.Pod, gone bool) bool {
		if len(seen) == 0 {
			first = time.Now()
		}
		seen[p.Name] = true
		return len(seen) == r.n
	})
	if err != nil {
		return fmt.Errorf("%d pods exist: %w", len(seen), err)
	}
	exist := time.Since(before.At)
	err = r.until(10*time.Millisecond, func() bool {
		d, err := cs.AppsV1().Deployments(ns).Get(r.ctx, "d", metav1.GetOptions{})
		return err == nil && int(d.Status.Replicas) == r.n
	})
	if err != nil {
		return err
	}
	used := r.window(before)
	r.put("exist_s", exist.Seconds())
	r.put("first_ms", milliseconds(first.Sub(before.At)))
	r.put("status_s", used.At.Sub(before.At).Seconds())
	r.put("cpu_us", 1e6*used.CPU/float64(r.n))
	return nil
}

// deploy makes a Deployment without replicas and waits until its controller has seen it.
func (r *run) deploy(cs kubernetes.Interface, ns, name string, p *corev1.Pod) error {
	if _, err := cs.AppsV1().Deployments(ns).Create(r.ctx, deployment(ns, name, 0, p), metav1.CreateOptions{}); err != nil {
		return err
	}
	return r.until(20*time.Millisecond, func() bool {
		d, err := cs.AppsV1().Deployments(ns).Get(r.ctx, name, metav1.GetOptions{})
		return err == nil && d.Status.ObservedGeneration > 0
	})
}

func (r *run) replicas(cs kubernetes.Interface, ns, name string, n int) error {
	_, err := cs.AppsV1().Deployments(ns).Patch(r.ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n), metav1.PatchOptions{})
	return err
}

// nsdelete fills a namespace and measures until it is gone.
func (r *run) nsdelete() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	ns := "bench-doomed"
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	if err := each(r.n, 16, func(_, i int) error {
		_, err := cs.CoreV1().ConfigMaps(ns).Create(r.ctx, configMap(fmt.Sprintf("c%06d", i)), metav1.CreateOptions{})
		return err
	}); err != nil {
		return err
	}
	r.pause(2 * time.Second)
	before := r.pids.Take()
	if err := cs.CoreV1().Namespaces().Delete(r.ctx, ns, metav1.DeleteOptions{}); err != nil {
		return err
	}
	if err := r.until(5*time.Millisecond, func() bool {
		_, err := cs.CoreV1().Namespaces().Get(r.ctx, ns, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}); err != nil {
		return err
	}
	used := r.window(before)
	r.put("gone_s", used.At.Sub(before.At).Seconds())
	r.put("cpu_us", 1e6*used.CPU/float64(r.n))
	return nil
}
