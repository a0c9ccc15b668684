package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

const (
	schedulerLease = "kube-scheduler"
	leaseSpace     = "kube-system"
)

// hold takes the scheduler's lease, so that a scheduler started afterwards waits for it.
func (r *run) hold() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	_, err = cs.CoreV1().Namespaces().Create(r.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: leaseSpace}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	leases := cs.CoordinationV1().Leases(leaseSpace)
	if err := leases.Delete(r.ctx, schedulerLease, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	who, seconds, now := "sampan-bench", int32(3600), metav1.NowMicro()
	_, err = leases.Create(r.ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: schedulerLease},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &who, LeaseDurationSeconds: &seconds, AcquireTime: &now, RenewTime: &now}}, metav1.CreateOptions{})
	return err
}

// release lets the scheduler begin.
func (r *run) release(cs kubernetes.Interface) error {
	err := cs.CoordinationV1().Leases(leaseSpace).Delete(r.ctx, schedulerLease, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("nobody held the scheduler's lease")
	}
	return err
}

// sched makes nodes and pods and measures how fast the pods are bound: first with all pods pending when the scheduler begins
// (hold has been run before), then, unless they have affinity, with more pods made while it works.
func (r *run) sched() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	if err := r.hollow(cs, r.nodes); err != nil {
		return fmt.Errorf("make nodes: %w", err)
	}
	if err := r.schedPending(cs); err != nil {
		return fmt.Errorf("pending: %w", err)
	}
	if r.affinity {
		return nil
	}
	r.pause(2 * time.Second)
	if err := r.schedAlongside(cs); err != nil {
		return fmt.Errorf("alongside: %w", err)
	}
	return nil
}

func (r *run) schedPending(cs kubernetes.Interface) error {
	ns := "bench-pending"
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	if err := r.makeSchedPods(cs, ns); err != nil {
		return err
	}
	r.pause(3 * time.Second)
	b, err := r.binds(ns)
	if err != nil {
		return err
	}
	defer b.stop()
	if k := b.bound.Load(); k > 0 {
		return fmt.Errorf("%d pods are bound before the scheduler may begin", k)
	}
	peak := r.pids.Peak()
	before := r.pids.Take()
	if err := r.release(cs); err != nil {
		return err
	}
	if err := b.wait(); err != nil {
		return err
	}
	used := r.window(before)
	_, most := peak()
	// The wait for the lease is not counted; the first bind is when the clock starts.
	r.put("pending_per_s", float64(r.n-1)/b.last.Sub(b.first).Seconds())
	r.put("pending_cpu_us", 1e6*used.CPU/float64(r.n))
	r.put("peak_rss_mb", most)
	return nil
}

func (r *run) schedAlongside(cs kubernetes.Interface) error {
	ns := "bench-alongside"
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	b, err := r.binds(ns)
	if err != nil {
		return err
	}
	defer b.stop()
	before := r.pids.Take()
	if err := r.makeSchedPods(cs, ns); err != nil {
		return err
	}
	made := time.Now()
	if err := b.wait(); err != nil {
		return err
	}
	used := r.window(before)
	r.put("alongside_per_s", float64(r.n)/b.last.Sub(before.At).Seconds())
	r.put("alongside_created_per_s", float64(r.n)/made.Sub(before.At).Seconds())
	r.put("alongside_cpu_us", 1e6*used.CPU/float64(r.n))
	return nil
}

func (r *run) makeSchedPods(cs kubernetes.Interface, ns string) error {
	return each(r.n, 32, func(_, i int) error {
		p := smallPod(ns, fmt.Sprintf("p%06d", i))
		if r.affinity {
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"z0", "z1"}},
					{Key: "sampan-bench/disk", Operator: corev1.NodeSelectorOpIn, Values: []string{"ssd"}}}}}}}}
		}
		_, err := cs.CoreV1().Pods(ns).Create(r.ctx, p, metav1.CreateOptions{})
		return err
	})
}

// binds watches, on a connection of its own, pods getting nodes.
type binds struct {
	ctx         context.Context
	stop        context.CancelFunc
	bound       atomic.Int64
	first, last time.Time // valid after wait
	done        chan error
}

// binds returns when the watch has begun.
func (r *run) binds(ns string) (*binds, error) {
	cs, err := r.client()
	if err != nil {
		return nil, err
	}
	b := &binds{done: make(chan error, 1)}
	b.ctx, b.stop = context.WithCancel(r.ctx)
	want := int64(r.n)
	seen := make(map[string]bool, r.n)
	go func() {
		b.done <- follow(b.ctx, podsOf(cs, ns), "spec.nodeName!=", func(p *corev1.Pod, gone bool) bool {
			if gone || p.Spec.NodeName == "" || seen[p.Name] {
				return false
			}
			seen[p.Name] = true
			b.last = time.Now()
			if len(seen) == 1 {
				b.first = b.last
			}
			return b.bound.Add(1) == want
		})
	}()
	r.pause(300 * time.Millisecond)
	return b, nil
}

func (b *binds) wait() error {
	if err := <-b.done; err != nil {
		return fmt.Errorf("%d bound: %w", b.bound.Load(), err)
	}
	return nil
}
