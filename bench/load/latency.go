package load

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// latency times single requests: one client, one connection, one request after the other.
func (r *run) latency() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	ns := "bench-latency-" + r.content
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	pods, maps := cs.CoreV1().Pods(ns), cs.CoreV1().ConfigMaps(ns)
	if _, err := pods.Create(r.ctx, bigPod(ns, "p", "", metav1.OwnerReference{}), metav1.CreateOptions{}); err != nil {
		return err
	}
	name := func(i int) string { return fmt.Sprintf("c%06d", i+1000) } // warming up counts below zero
	held := configMap("held")
	if held, err = maps.Create(r.ctx, held, metav1.CreateOptions{}); err != nil {
		return err
	}
	for _, op := range []struct {
		name string
		n    int
		do   func(i int) error
	}{
		{"get", 2 * r.n, func(int) error { _, err := pods.Get(r.ctx, "p", metav1.GetOptions{}); return err }},
		{"create", r.n, func(i int) error {
			_, err := maps.Create(r.ctx, configMap(name(i)), metav1.CreateOptions{})
			return err
		}},
		{"update", r.n, func(i int) error {
			held.Data["v"] = fmt.Sprint(i)
			next, err := maps.Update(r.ctx, held, metav1.UpdateOptions{})
			if err == nil {
				held = next
			}
			return err
		}},
		{"patch", r.n, func(i int) error {
			_, err := maps.Patch(r.ctx, "held", types.MergePatchType, fmt.Appendf(nil, `{"data":{"v":"p%d"}}`, i), metav1.PatchOptions{})
			return err
		}},
		{"apply", r.n / 2, func(i int) error {
			_, err := maps.Patch(r.ctx, "applied", types.ApplyPatchType,
				fmt.Appendf(nil, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"applied"},"data":{"v":"%d"}}`, i), metav1.PatchOptions{FieldManager: "bench"})
			return err
		}},
		{"delete", r.n, func(i int) error { return maps.Delete(r.ctx, name(i), metav1.DeleteOptions{}) }},
	} {
		if err := r.op(op.name, op.n, op.do); err != nil {
			return fmt.Errorf("%s: %w", op.name, err)
		}
	}
	return nil
}

// op warms up, then times n calls.
func (r *run) op(name string, n int, do func(i int) error) error {
	for i := range 20 {
		if err := do(-1 - i); err != nil {
			return err
		}
	}
	var t times
	before := r.pids.Take()
	for i := range n {
		since := time.Now()
		if err := do(i); err != nil {
			return err
		}
		t.add(time.Since(since))
	}
	used := r.window(before)
	r.put(name+"_p50_us", 1000*t.at(.5))
	r.put(name+"_p99_us", 1000*t.at(.99))
	r.put(name+"_cpu_us", 1e6*used.CPU/float64(n))
	return nil
}
