package load

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
)

const podSpace = "bench-pods"

// pods runs real pods on the node: n single ones after each other, then a Deployment of 30 and one of -many.
func (r *run) pods() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	if err := r.namespace(cs, podSpace); err != nil {
		return err
	}
	var running, gone times
	before := r.pids.Take()
	for i := range r.n + 1 {
		up, down, err := r.onePod(cs, fmt.Sprintf("s%d", i))
		if err != nil {
			return fmt.Errorf("pod %d: %w", i, err)
		}
		if i > 0 { // the first warms up
			running.add(up)
			gone.add(down)
		}
	}
	used := r.window(before)
	r.put("single_p50_ms", running.at(.5))
	r.put("single_p99_ms", running.at(.99))
	r.put("delete_p50_ms", gone.at(.5))
	r.put("single_cpu_ms", 1000*used.CPU/float64(r.n+1))
	for _, d := range []struct {
		name     string
		replicas int
	}{{"thirty", 30}, {"many", r.many}} {
		r.pause(3 * time.Second)
		if err := r.manyPods(cs, d.name, d.replicas); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

// onePod times a pod from its create to Running and from its delete until the object is gone.
func (r *run) onePod(cs kubernetes.Interface, name string) (up, down time.Duration, err error) {
	pods := cs.CoreV1().Pods(podSpace)
	w, err := pods.Watch(r.ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return 0, 0, err
	}
	defer w.Stop()
	await := func(ok func(watch.Event) bool) error {
		limit := time.After(2 * time.Minute)
		for {
			select {
			case <-limit:
				return fmt.Errorf("nothing came of it in two minutes")
			case <-r.ctx.Done():
				return r.ctx.Err()
			case e, open := <-w.ResultChan():
				if !open {
					return fmt.Errorf("the watch ended")
				}
				if ok(e) {
					return nil
				}
			}
		}
	}
	since := time.Now()
	if _, err := pods.Create(r.ctx, r.realPod(podSpace, name), metav1.CreateOptions{}); err != nil {
		return 0, 0, err
	}
	if err := await(func(e watch.Event) bool {
		p, ok := e.Object.(*corev1.Pod)
		return ok && p.Status.Phase == corev1.PodRunning
	}); err != nil {
		return 0, 0, err
	}
	up = time.Since(since)
	r.pause(300 * time.Millisecond)
	since = time.Now()
	if err := pods.Delete(r.ctx, name, metav1.DeleteOptions{}); err != nil {
		return 0, 0, err
	}
	err = await(func(e watch.Event) bool { return e.Type == watch.Deleted })
	down = time.Since(since)
	r.pause(300 * time.Millisecond)
	return up, down, err
}

// manyPods times a Deployment until all its pods are Ready, and takes it away again.
func (r *run) manyPods(cs kubernetes.Interface, name string, replicas int) error {
	if replicas == 0 {
		return nil
	}
	if err := r.deploy(cs, podSpace, name, r.realPod(podSpace, "x")); err != nil {
		return err
	}
	before := r.pids.Take()
	if err := r.replicas(cs, podSpace, name, replicas); err != nil {
		return err
	}
	ready := map[string]bool{}
	if err := follow(r.ctx, podsOf(cs, podSpace), "", func(p *corev1.Pod, gone bool) bool {
		if p.Labels["app"] != name {
			return false
		}
		if ready[p.Name] = podReady(p) && !gone; !ready[p.Name] {
			delete(ready, p.Name)
		}
		return len(ready) == replicas
	}); err != nil {
		return fmt.Errorf("%d of %d are ready: %w", len(ready), replicas, err)
	}
	used := r.window(before)
	r.put(name+"_ready_s", used.At.Sub(before.At).Seconds())
	r.put(name+"_cpu_ms", 1000*used.CPU/float64(replicas))
	r.pause(2 * time.Second)
	if err := r.replicas(cs, podSpace, name, 0); err != nil {
		return err
	}
	since := time.Now()
	if err := r.until(20*time.Millisecond, func() bool {
		l, err := cs.CoreV1().Pods(podSpace).List(r.ctx, metav1.ListOptions{LabelSelector: "app=" + name})
		return err == nil && len(l.Items) == 0
	}); err != nil {
		return err
	}
	r.put(name+"_gone_s", time.Since(since).Seconds())
	r.pause(5 * time.Second) // the node goes on taking containers down after the objects are gone
	return nil
}
