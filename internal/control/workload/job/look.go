package job

import (
	"slices"
	"strconv"
	"time"

	"sampan.dev/internal/api/batch"
	"sampan.dev/internal/control/loop"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// look is how a Job and its pods stand at one time, and what has been decided of them since.
//
// It belongs to one call of reconcile. lookAt fills it from what the informers show; afterwards job.Status is what will be written
// next, and active, ready and terminating are kept true to the pods that reconcile makes and deletes. held are the pods whose
// finalizer is still on; every pod in an uncounted list of the status is either held or ready to be counted.
type look struct {
	job  *batchv1.Job  // its status is the look's own, all else is frozen
	pods []*corev1.Pod // of the Job; an indexed Job's in the order of their indexes
	now  time.Time

	active             []*corev1.Pod // as the informer has them
	running            int32         // of them, after what was made and deleted
	ready, terminating int32
	succeeded, failed  int32 // with those that are not counted yet
	failures           failures
	held               map[types.UID]bool

	done    spans               // indexes that have succeeded
	lost    *spans              // indexes that have failed for good; nil of a Job that has no limit for each index
	waiting map[int]*corev1.Pod // by index: pods that failed and stay until they are replaced, for what their annotations say

	end     *batchv1.JobCondition // how the Job ends: FailureTarget, SuccessCriteriaMet, or the Failed and Complete that follow
	failing bool                  // it ends by a failure
	dirty   bool                  // the status has changed
}

// lookAt sees how a Job stands. job and pods are frozen; past are the failures in a row as far as they have been counted.
func lookAt(job *batchv1.Job, pods []*corev1.Pod, past failures, now time.Time) *look {
	own := *job
	own.Status = *job.Status.DeepCopy()
	l := &look{job: &own, pods: pods, now: now, held: map[types.UID]bool{}}
	s := &own.Status
	if s.UncountedTerminatedPods == nil {
		s.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	}
	for _, p := range pods {
		switch {
		case loop.PodTerminal(p):
		case p.DeletionTimestamp != nil:
			l.terminating++
		default:
			l.active = append(l.active, p)
			if loop.PodReady(p) {
				l.ready++
			}
		}
		if tracked(p) {
			l.held[p.UID] = true
		}
	}
	l.running = int32(len(l.active))
	l.tally(past)
	if s.StartTime == nil && !suspended(&own) {
		at := metav1.NewTime(now)
		s.StartTime = &at
	}
	l.decide()
	return l
}

// tally counts what has ended, with what the status has not counted yet.
func (l *look) tally(past failures) {
	s := &l.job.Status
	var succeeded, failed []*corev1.Pod
	for _, p := range l.pods {
		switch {
		case !l.held[p.UID] || indexed(l.job) && !l.valid(indexOf(p)):
		case p.Status.Phase == corev1.PodSucceeded && !slices.Contains(s.UncountedTerminatedPods.Succeeded, p.UID):
			succeeded = append(succeeded, p)
		case hasFailed(l.job, p) && !slices.Contains(s.UncountedTerminatedPods.Failed, p.UID):
			failed = append(failed, p)
		}
	}
	l.failures = past.and(succeeded, failed)
	l.succeeded = s.Succeeded + int32(len(succeeded)+len(s.UncountedTerminatedPods.Succeeded))
	l.failed = s.Failed + int32(len(s.UncountedTerminatedPods.Failed))
	for _, p := range failed {
		if judge(l.job.Spec.PodFailurePolicy, p).counts() {
			l.failed++
		}
	}
}

// decide finds out whether the Job ends. What an earlier look has decided stands; a failure goes before a success.
func (l *look) decide() {
	j := l.job
	l.end = l.decided()
	if l.end == nil {
		switch {
		case l.failed > *j.Spec.BackoffLimit, restartedTooOften(j, l.pods):
			l.end = l.failure(batchv1.JobReasonBackoffLimitExceeded, "Job has reached the specified backoff limit")
		case l.deadline() == 0:
			l.end = l.failure(batchv1.JobReasonDeadlineExceeded, "Job was active longer than specified deadline")
		}
	}
	if indexed(j) {
		l.decideByIndex()
	}
	l.failing = l.end != nil && l.end.Type != batchv1.JobSuccessCriteriaMet
}

// decided is the end that the status has announced, or that the pod failure policy asks for.
func (l *look) decided() *batchv1.JobCondition {
	j := l.job
	if c := condition(&j.Status, batchv1.JobSuccessCriteriaMet); c != nil && c.Status == corev1.ConditionTrue {
		return c
	}
	if c := condition(&j.Status, batchv1.JobFailureTarget); c != nil && c.Status == corev1.ConditionTrue {
		return l.conditionOf(batchv1.JobFailed, c.Reason, c.Message)
	}
	if j.Spec.PodFailurePolicy == nil {
		return nil
	}
	for _, p := range l.pods {
		if hasFailed(j, p) {
			if v := judge(j.Spec.PodFailurePolicy, p); v.action == batchv1.PodFailurePolicyActionFailJob {
				return l.failure(batchv1.JobReasonPodFailurePolicy, v.message)
			}
		}
	}
	return nil
}

// decideByIndex sees which indexes have succeeded and failed, and whether that ends the Job.
func (l *look) decideByIndex() {
	j, all := l.job, int(*l.job.Spec.Completions)
	l.done = parseSpans(j.Status.CompletedIndexes, all).with(l.indexes(l.pods, func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded && tracked(p) }))
	l.succeeded = int32(l.done.total())
	if j.Spec.BackoffLimitPerIndex != nil {
		var before spans
		if j.Status.FailedIndexes != nil {
			before = parseSpans(*j.Status.FailedIndexes, all)
		}
		lost := before.with(l.indexes(l.pods, func(p *corev1.Pod) bool { return tracked(p) && ruins(j, p) }))
		l.lost = &lost
		if n := lost.total(); l.end == nil && j.Spec.MaxFailedIndexes != nil && n > int(*j.Spec.MaxFailedIndexes) {
			l.end = l.failure(batchv1.JobReasonMaxFailedIndexesExceeded, "Job has exceeded the specified maximal number of failed indexes")
		} else if l.end == nil && n > 0 && n+l.done.total() >= all {
			l.end = l.failure(batchv1.JobReasonFailedIndexes, "Job has failed indexes")
		}
		l.waiting = l.toReplace()
	}
	if l.end == nil {
		if message, met := enough(j.Spec.SuccessPolicy, all, l.done); met {
			l.end = l.conditionOf(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonSuccessPolicy, message)
		}
	}
}

// toReplace finds, for each index that is to be tried again, the last pod that failed.
func (l *look) toReplace() map[int]*corev1.Pod {
	out := map[int]*corev1.Pod{}
	running := map[int]bool{}
	for _, p := range l.active {
		running[indexOf(p)] = true
	}
	for _, p := range l.pods {
		i := indexOf(p)
		if !tracked(p) || !l.valid(i) || !hasFailed(l.job, p) || running[i] || l.done.has(i) || l.lost.has(i) {
			continue
		}
		if last := out[i]; last == nil || tries(last) <= tries(p) && !ended(p).Before(ended(last)) {
			out[i] = p
		}
	}
	return out
}

// indexes returns the valid indexes of the pods that which picks, in rising order, each once.
func (l *look) indexes(pods []*corev1.Pod, which func(*corev1.Pod) bool) []int {
	var out []int
	for _, p := range pods {
		if i := indexOf(p); l.valid(i) && which(p) {
			out = append(out, i)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// deadline is how long the Job may still be active, 0 when it is past that, or less than 0 if there is no limit.
func (l *look) deadline() time.Duration {
	limit, start := l.job.Spec.ActiveDeadlineSeconds, l.job.Status.StartTime
	if limit == nil || start == nil || suspended(l.job) {
		return -1
	}
	return max(0, time.Duration(*limit)*time.Second-l.now.Sub(start.Time))
}

func (l *look) failure(reason, message string) *batchv1.JobCondition {
	return l.conditionOf(batchv1.JobFailureTarget, reason, message)
}

func (l *look) conditionOf(kind batchv1.JobConditionType, reason, message string) *batchv1.JobCondition {
	at := metav1.NewTime(l.now)
	return &batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastProbeTime: at, LastTransitionTime: at, Reason: reason, Message: message}
}

func (l *look) valid(index int) bool { return index >= 0 && index < int(*l.job.Spec.Completions) }

func indexed(j *batchv1.Job) bool {
	return j.Spec.CompletionMode != nil && *j.Spec.CompletionMode == batchv1.IndexedCompletion
}

func suspended(j *batchv1.Job) bool { return j.Spec.Suspend != nil && *j.Spec.Suspend }

// patient reports whether a pod is replaced only once it has ended, not already when it is told to.
func patient(j *batchv1.Job) bool {
	return j.Spec.PodReplacementPolicy != nil && *j.Spec.PodReplacementPolicy == batchv1.Failed
}

// foreign reports whether somebody else's controller has the Job.
func foreign(j *batchv1.Job) bool {
	return j.Spec.ManagedBy != nil && *j.Spec.ManagedBy != batchv1.JobControllerName
}

func finished(j *batchv1.Job) bool { return batch.End(&j.Status) != nil }

func condition(s *batchv1.JobStatus, kind batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == kind {
			return &s.Conditions[i]
		}
	}
	return nil
}

// hasFailed reports whether a pod counts as failed. One that is deleted does, for it may never come to say so itself.
func hasFailed(j *batchv1.Job, p *corev1.Pod) bool {
	if p.Status.Phase == corev1.PodFailed {
		return true
	}
	return !patient(j) && p.DeletionTimestamp != nil && p.Status.Phase != corev1.PodSucceeded
}

// ruins reports whether its index has failed for good with a pod.
func ruins(j *batchv1.Job, p *corev1.Pod) bool {
	if !hasFailed(j, p) {
		return false
	}
	v := judge(j.Spec.PodFailurePolicy, p)
	return v.action == batchv1.PodFailurePolicyActionFailIndex ||
		v.counts() && number(p, batchv1.JobIndexFailureCountAnnotation) >= *j.Spec.BackoffLimitPerIndex
}

// restartedTooOften reports whether the containers of pods that restart in place have done so up to the backoff limit.
func restartedTooOften(j *batchv1.Job, pods []*corev1.Pod) bool {
	if j.Spec.Template.Spec.RestartPolicy != corev1.RestartPolicyOnFailure {
		return false
	}
	n := int32(0)
	for _, p := range pods {
		if p.Status.Phase == corev1.PodRunning || p.Status.Phase == corev1.PodPending {
			n += restarts(p)
		}
	}
	return n > 0 && n >= *j.Spec.BackoffLimit
}

func restarts(p *corev1.Pod) (n int32) {
	for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
		for i := range list {
			n += list[i].RestartCount
		}
	}
	return n
}

func tracked(p *corev1.Pod) bool { return slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer) }

// indexOf is a pod's completion index, or -1.
func indexOf(p *corev1.Pod) int {
	i, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil || i < 0 {
		return -1
	}
	return i
}

// tries counts the pods of an index that failed before p, those that the failure policy ignores among them.
func tries(p *corev1.Pod) int32 {
	return number(p, batchv1.JobIndexFailureCountAnnotation) + number(p, batchv1.JobIndexIgnoredFailureCountAnnotation)
}

// number reads an annotation; what is no number that fits is 0.
func number(p *corev1.Pod, annotation string) int32 {
	n, err := strconv.ParseInt(p.Annotations[annotation], 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int32(n)
}
