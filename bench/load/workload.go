package load

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
)

// workload is what is measured of a controller of pods: from a write, made by begin, until the object that it is about looks done.
type workload struct {
	ns, status string // namespace; what the hollow kubelets write of each pod
	lacks      func(*corev1.Pod) bool
	objects    collection
	resource   string // of objects, as count takes it
	begin      func() error
	done       func(runtime.Object) bool
}

// work runs a workload of n pods and keeps its time, the servers' CPU and the controllers' writes, each for one pod where it is of pods.
func (r *run) work(n int, w workload) error {
	k, err := r.kubelets(w.ns, w.status, w.lacks)
	if err != nil {
		return err
	}
	defer k.stop()
	t, err := r.count(w.ns, "v1 pods", "v1 events", "apps/v1 controllerrevisions", w.resource)
	if err != nil {
		return err
	}
	defer t.stop()
	r.pause(statusDelay)
	before := r.pids.Take()
	if err := w.begin(); err != nil {
		return err
	}
	if err := follow(r.ctx, w.objects, "", func(o runtime.Object, gone bool) bool { return !gone && w.done(o) }); err != nil {
		return fmt.Errorf("%d pods have their status: %w", k.wrote.Load(), err)
	}
	used := r.window(before)
	r.put("s", used.At.Sub(before.At).Seconds())
	r.put("cpu_us", 1e6*used.CPU/float64(n))
	r.put("client_cpu_us", 1e6*used.Self/float64(n))
	own, err := k.end()
	if err != nil {
		return err
	}
	r.putWrites(t, own, n)
	return nil
}

// idlePod is the template of pods that no scheduler looks at.
func idlePod(labels map[string]string, restart corev1.RestartPolicy) corev1.PodTemplateSpec {
	p := smallPod("", "")
	p.Spec.SchedulerName, p.Spec.RestartPolicy = nobody, restart
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: p.Spec}
}

// statefulset grows a StatefulSet from nothing to n replicas that are Ready: -ordered one after the other.
func (r *run) statefulset() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	ns, policy := r.space, appsv1.ParallelPodManagement
	if r.ordered {
		policy = appsv1.OrderedReadyPodManagement
	}
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	none, labels, sets := int32(0), map[string]string{"app": "set"}, cs.AppsV1().StatefulSets(ns)
	set := &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "set"}, Spec: appsv1.StatefulSetSpec{
		Replicas: &none, ServiceName: "set", PodManagementPolicy: policy, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: idlePod(labels, "")}}
	if _, err := sets.Create(r.ctx, set, metav1.CreateOptions{}); err != nil {
		return err
	}
	return r.work(r.n, workload{ns: ns, status: readyStatus(), lacks: notReady, resource: "apps/v1 statefulsets",
		objects: collection{func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return sets.List(ctx, o) }, sets.Watch},
		begin: func() error {
			_, err := sets.Patch(r.ctx, "set", types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, r.n), metav1.PatchOptions{})
			return err
		},
		done: func(o runtime.Object) bool {
			s, ok := o.(*appsv1.StatefulSet)
			return ok && int(s.Status.ReadyReplicas) == r.n && int(s.Status.AvailableReplicas) == r.n
		}})
}

// daemonset has a DaemonSet's pods be Ready on -n hollow nodes.
func (r *run) daemonset() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	if err := r.hollow(cs, r.n); err != nil {
		return fmt.Errorf("make nodes: %w", err)
	}
	ns := r.space
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	r.pause(3 * statusDelay) // nodes get ranges of addresses
	labels, sets := map[string]string{"app": "agent"}, cs.AppsV1().DaemonSets(ns)
	return r.work(r.n, workload{ns: ns, status: readyStatus(), lacks: notReady, resource: "apps/v1 daemonsets",
		objects: collection{func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return sets.List(ctx, o) }, sets.Watch},
		begin: func() error {
			_, err := sets.Create(r.ctx, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "agent"}, Spec: appsv1.DaemonSetSpec{
				Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: idlePod(labels, "")}}, metav1.CreateOptions{})
			return err
		},
		done: func(o runtime.Object) bool {
			d, ok := o.(*appsv1.DaemonSet)
			return ok && int(d.Status.NumberReady) == r.n && int(d.Status.NumberAvailable) == r.n
		}})
}

// job runs a Job of n completions, a tenth of them at a time, whose pods end well at once.
func (r *run) job() error {
	cs, err := r.client()
	if err != nil {
		return err
	}
	ns := r.space
	if err := r.namespace(cs, ns); err != nil {
		return err
	}
	all, few, jobs := int32(r.n), int32(max(1, r.n/10)), cs.BatchV1().Jobs(ns)
	return r.work(r.n, workload{ns: ns, status: doneStatus(), lacks: notDone, resource: "batch/v1 jobs",
		objects: collection{func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return jobs.List(ctx, o) }, jobs.Watch},
		begin: func() error {
			_, err := jobs.Create(r.ctx, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "job"}, Spec: batchv1.JobSpec{
				Completions: &all, Parallelism: &few, Template: idlePod(nil, corev1.RestartPolicyNever)}}, metav1.CreateOptions{})
			return err
		},
		done: func(o runtime.Object) bool {
			j, ok := o.(*batchv1.Job)
			return ok && jobComplete(j) && int(j.Status.Succeeded) == r.n
		}})
}

func jobComplete(j *batchv1.Job) bool {
	for _, c := range j.Status.Conditions {
		if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}
