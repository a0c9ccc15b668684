package job

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/workload/podcontrol"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// burst bounds the pods that one look makes or deletes.
const burst = 2000

var jobKind = batchv1.SchemeGroupVersion.WithKind("Job")

// plan is what is to be done about the pods of a Job that goes on. Of one look it either deletes or makes.
type plan struct {
	remove []*corev1.Pod
	create []int         // their indexes, or as many -1 as pods are to be made of a Job without
	wait   time.Duration // until some may be made that must not be yet
}

// plan decides which pods are made or deleted.
func (l *look) plan() plan {
	if suspended(l.job) {
		return plan{remove: l.active}
	}
	want := l.wanted()
	remove := l.surplus(max(0, len(l.active)-want))
	if len(remove) > 0 {
		return plan{remove: remove[:min(len(remove), burst)]}
	}
	missing := want - len(l.active)
	if patient(l.job) {
		missing -= int(l.terminating)
	}
	if missing <= 0 {
		return plan{}
	}
	if l.job.Spec.BackoffLimitPerIndex == nil {
		if wait := l.failures.left(l.now); wait > 0 {
			return plan{wait: wait}
		}
	}
	missing = min(missing, burst)
	if !indexed(l.job) {
		return plan{create: slices.Repeat([]int{-1}, missing)}
	}
	return l.planIndexes(l.pending(missing))
}

// wanted is how many pods should be active.
func (l *look) wanted() int {
	parallel := int(*l.job.Spec.Parallelism)
	switch all := l.job.Spec.Completions; {
	case all != nil:
		return max(0, min(int(*all)-int(l.succeeded), parallel))
	case l.succeeded > 0:
		return len(l.active) // the first success ends a Job of this kind; what runs may end by itself
	}
	return parallel
}

// planIndexes leaves out those of indexes whose last pod failed not long enough ago. They are waited for when no others are there.
func (l *look) planIndexes(indexes []int) plan {
	var p plan
	for _, i := range indexes {
		wait := time.Duration(0)
		if last := l.waiting[i]; last != nil {
			wait = failures{tries(last) + 1, ended(last)}.left(l.now)
		}
		switch {
		case wait == 0:
			p.create = append(p.create, i)
		case p.wait == 0 || wait < p.wait:
			p.wait = wait
		}
	}
	return p
}

// pending returns the first count indexes that have neither succeeded nor failed and have no pod.
func (l *look) pending(count int) []int {
	any := func(*corev1.Pod) bool { return true }
	taken := l.done.with(l.indexes(l.active, any))
	if patient(l.job) {
		taken = taken.with(l.indexes(l.pods, func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil && !loop.PodTerminal(p) }))
	}
	if l.lost != nil {
		taken = taken.merge(*l.lost)
	}
	return taken.missing(count, int(*l.job.Spec.Completions))
}

// surplus returns at least n of the active pods that are the least loss; of an indexed Job first those whose index is not valid,
// and all but one of each index.
func (l *look) surplus(n int) []*corev1.Pod {
	left := l.active
	var out []*corev1.Pod
	if indexed(l.job) {
		byIndex := map[int][]*corev1.Pod{}
		for _, p := range l.active {
			byIndex[indexOf(p)] = append(byIndex[indexOf(p)], p)
		}
		left = nil
		for _, i := range slices.Sorted(maps.Keys(byIndex)) {
			same := byIndex[i]
			keep := 0
			if l.valid(i) {
				keep = 1
			}
			if len(same) > 1 {
				slices.SortStableFunc(same, compareLoss)
			}
			out = append(out, same[:len(same)-keep]...)
			left = append(left, same[len(same)-keep:]...)
		}
	}
	if more := n - len(out); more > 0 {
		left = slices.Clone(left)
		slices.SortStableFunc(left, compareLoss)
		out = append(out, left[:more]...)
	}
	return out
}

// compareLoss puts the pod that is the lesser loss first, in upstream's order for pods of one owner (ActivePods): unassigned,
// pending, unknown, not ready, ready for less time, more restarts, younger.
func compareLoss(a, b *corev1.Pod) int {
	ready := func() int {
		if !loop.PodReady(a) || !loop.PodReady(b) {
			return 0
		}
		at, bt := loop.PodCondition(a, corev1.PodReady).LastTransitionTime, loop.PodCondition(b, corev1.PodReady).LastTransitionTime
		return younger(at, bt)
	}
	return cmp.Or(
		truth(a.Spec.NodeName != "")-truth(b.Spec.NodeName != ""),
		phase(a)-phase(b),
		truth(loop.PodReady(a))-truth(loop.PodReady(b)),
		ready(),
		moreRestarts(a, b),
		younger(a.CreationTimestamp, b.CreationTimestamp),
	)
}

func moreRestarts(a, b *corev1.Pod) int {
	aMost, aSidecars := loop.Restarts(a)
	bMost, bSidecars := loop.Restarts(b)
	return cmp.Or(cmp.Compare(bMost, aMost), cmp.Compare(bSidecars, aSidecars))
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func phase(p *corev1.Pod) int {
	return map[corev1.PodPhase]int{corev1.PodUnknown: 1, corev1.PodRunning: 2}[p.Status.Phase]
}

// younger puts the later time first, and a time that is missing before all.
func younger(a, b metav1.Time) int {
	switch {
	case a.IsZero() || b.IsZero():
		return truth(b.IsZero()) - truth(a.IsZero())
	case a.Time.Equal(b.Time):
		return 0
	case a.After(b.Time):
		return -1
	}
	return 1
}

// maker makes the pods of a Job, which share what they can with its template: the door copies what it is given.
type maker struct {
	l    *look
	base corev1.Pod
}

func (l *look) maker() *maker {
	j, t := l.job, &l.job.Spec.Template
	m := &maker{l: l, base: *podcontrol.New(t, j, jobKind)}
	if !slices.Contains(t.Finalizers, batchv1.JobTrackingFinalizer) {
		m.base.Finalizers = append(slices.Clip(t.Finalizers), batchv1.JobTrackingFinalizer)
	}
	if indexed(j) {
		m.base.Spec.InitContainers = withIndex(t.Spec.InitContainers)
		m.base.Spec.Containers = withIndex(t.Spec.Containers)
	}
	return m
}

// pod makes the pod of an index, or of none (-1).
func (m *maker) pod(index int) *corev1.Pod {
	p := m.base
	if index < 0 {
		return &p
	}
	j, i := m.l.job, strconv.Itoa(index)
	p.Labels, p.Annotations = plus(p.Labels, batchv1.JobCompletionIndexAnnotation, i), plus(p.Annotations, batchv1.JobCompletionIndexAnnotation, i)
	p.Spec.Hostname = fmt.Sprintf("%s-%d", j.Name, index)
	p.GenerateName = indexPrefix(j.Name, i)
	if j.Spec.BackoffLimitPerIndex == nil {
		return &p
	}
	failed, ignored := m.l.triesOf(index)
	p.Annotations[batchv1.JobIndexFailureCountAnnotation] = strconv.Itoa(int(failed))
	if ignored > 0 {
		p.Annotations[batchv1.JobIndexIgnoredFailureCountAnnotation] = strconv.Itoa(int(ignored))
	}
	return &p
}

// triesOf counts the pods of an index that have failed, and those that the failure policy ignores.
func (l *look) triesOf(index int) (failed, ignored int32) {
	last := l.waiting[index]
	if last == nil {
		return 0, 0
	}
	failed, ignored = number(last, batchv1.JobIndexFailureCountAnnotation), number(last, batchv1.JobIndexIgnoredFailureCountAnnotation)
	if judge(l.job.Spec.PodFailurePolicy, last).counts() {
		return failed + 1, ignored
	}
	return failed, ignored + 1
}

// mostPrefix is the length of a prefix that leaves room for the five random letters of a name that is a DNS label.
const mostPrefix = 58

// indexPrefix is what the names of an index's pods begin with. Of a long name the index stays.
func indexPrefix(job, index string) string {
	suffix := "-" + index + "-"
	return job[:min(len(job), mostPrefix-len(suffix))] + suffix
}

const indexVariable = "JOB_COMPLETION_INDEX"

// withIndex returns copies of containers that are told their pod's index.
func withIndex(containers []corev1.Container) []corev1.Container {
	out := slices.Clone(containers)
	for i := range out {
		env := out[i].Env
		if !slices.ContainsFunc(env, func(v corev1.EnvVar) bool { return v.Name == indexVariable }) {
			out[i].Env = append(slices.Clip(env), corev1.EnvVar{Name: indexVariable, ValueFrom: &corev1.EnvVarSource{
				FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['" + batchv1.JobCompletionIndexAnnotation + "']"},
			}})
		}
	}
	return out
}

// plus returns a copy of a map with one more pair.
func plus(m map[string]string, key, value string) map[string]string {
	out := make(map[string]string, len(m)+3)
	maps.Copy(out, m)
	out[key] = value
	return out
}
