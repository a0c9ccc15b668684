package job

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// mostUncounted bounds the pods that are counted by one write of the status, whose size their UIDs are (20 kB).
const mostUncounted = 500

// happening is an event about a Job.
type happening struct{ kind, reason, message string }

// conclude sees, after the pods have been made and deleted, whether the Job is complete or its suspension has changed. managed says
// that they have been: the status of a Job that is being deleted keeps its conditions.
func (l *look) conclude(managed bool) (out []happening) {
	s := &l.job.Status
	if l.end == nil {
		all := l.job.Spec.Completions
		switch {
		case l.running == 0 && (all == nil && l.succeeded > 0 || all != nil && l.succeeded >= *all):
			l.end = l.conditionOf(batchv1.JobSuccessCriteriaMet, batchv1.JobReasonCompletionsReached, "Reached expected number of succeeded pods")
		case managed && suspended(l.job) && l.turn(corev1.ConditionTrue, "JobSuspended", "Job suspended"):
			s.StartTime = nil
			out = []happening{{corev1.EventTypeNormal, "Suspended", "Job suspended"}}
		case managed && !suspended(l.job) && l.turn(corev1.ConditionFalse, "JobResumed", "Job resumed"):
			at := metav1.NewTime(l.now)
			s.StartTime = &at
			out = []happening{{corev1.EventTypeNormal, "Resumed", "Job resumed"}}
		}
	}
	l.dirty = l.dirty || s.Active != l.running || s.Ready == nil || *s.Ready != l.ready || s.Terminating == nil || *s.Terminating != l.terminating
	s.Active, s.Ready, s.Terminating = l.running, new(l.ready), new(l.terminating)
	return out
}

// turn sets the condition Suspended and reports whether that changes anything. What never was True is not made False.
func (l *look) turn(to corev1.ConditionStatus, reason, message string) bool {
	c := l.conditionOf(batchv1.JobSuspended, reason, message)
	c.Status = to
	have := condition(&l.job.Status, batchv1.JobSuspended)
	switch {
	case have == nil && to == corev1.ConditionFalse:
		return false
	case have == nil:
		l.job.Status.Conditions = append(l.job.Status.Conditions, *c)
	case have.Status == to && have.Reason == reason && have.Message == message:
		return false
	default:
		*have = *c
	}
	l.dirty = true
	return true
}

// count puts pods that have ended into the status, and returns those whose finalizers may go once that is written. more says that
// others are left for another round.
func (l *look) count() (release []*corev1.Pod, more bool) {
	s, u := &l.job.Status, l.job.Status.UncountedTerminatedPods
	for _, p := range l.pods {
		if !l.held[p.UID] || !l.releasable(p) {
			continue
		}
		release = append(release, p)
		switch {
		case slices.Contains(u.Failed, p.UID):
		case p.Status.Phase != corev1.PodSucceeded:
			if l.countsAsFailed(p) {
				u.Failed, l.dirty = append(u.Failed, p.UID), true
			}
		case !indexed(l.job) && !slices.Contains(u.Succeeded, p.UID): // of an indexed Job the index tells
			u.Succeeded, l.dirty = append(u.Succeeded, p.UID), true
		}
		if len(u.Succeeded)+len(u.Failed) >= mostUncounted {
			more = true
			break
		}
	}
	if indexed(l.job) {
		l.writeIndexes()
	}
	if l.end != nil {
		l.announce(s)
	}
	return release, more
}

// releasable reports whether a pod's finalizer has done its work: the pod has ended, or nobody will ask how it ends. One that
// waits for its replacement keeps it.
func (l *look) releasable(p *corev1.Pod) bool {
	if l.job.DeletionTimestamp != nil || l.end != nil || p.Status.Phase == corev1.PodSucceeded {
		return true
	}
	if !hasFailed(l.job, p) {
		return false
	}
	last := l.waiting[indexOf(p)]
	return last == nil || last.UID != p.UID
}

// countsAsFailed reports whether a pod adds to the failures. Of a Job that has failed all do that have not ended.
func (l *look) countsAsFailed(p *corev1.Pod) bool {
	return (hasFailed(l.job, p) || l.failing) && (!indexed(l.job) || l.valid(indexOf(p))) && judge(l.job.Spec.PodFailurePolicy, p).counts()
}

func (l *look) writeIndexes() {
	s := &l.job.Status
	text := l.done.String()
	l.dirty = l.dirty || text != s.CompletedIndexes
	s.CompletedIndexes, s.Succeeded = text, int32(l.done.total())
	var lost *string
	if l.lost != nil {
		lost = new(l.lost.String())
	}
	if (lost == nil) != (s.FailedIndexes == nil) || lost != nil && *lost != *s.FailedIndexes {
		s.FailedIndexes, l.dirty = lost, true
	}
}

// announce writes the condition that comes before the last one, so that it stands while finalizers are taken off, and makes the
// last one of it.
func (l *look) announce(s *batchv1.JobStatus) {
	last := map[batchv1.JobConditionType]batchv1.JobConditionType{
		batchv1.JobFailureTarget: batchv1.JobFailed, batchv1.JobSuccessCriteriaMet: batchv1.JobComplete,
	}[l.end.Type]
	if last == "" {
		return
	}
	if condition(s, l.end.Type) == nil {
		s.Conditions, l.dirty = append(s.Conditions, *l.end), true
	}
	l.end = l.conditionOf(last, l.end.Reason, l.end.Message)
}

// settle exchanges the UIDs of pods that have no finalizer any more for numbers.
func (l *look) settle() {
	s, u := &l.job.Status, l.job.Status.UncountedTerminatedPods
	left := func(uids []types.UID, counter *int32) []types.UID {
		var out []types.UID
		for _, uid := range uids {
			if l.held[uid] {
				out = append(out, uid)
			}
		}
		if n := len(uids) - len(out); n > 0 {
			*counter, l.dirty = *counter+int32(n), true
			return out
		}
		return uids
	}
	u.Succeeded, u.Failed = left(u.Succeeded, &s.Succeeded), left(u.Failed, &s.Failed)
}

// finish writes the last condition if all is counted and no pod is on its way out, and returns what is to be told of it.
func (l *look) finish() []happening {
	s := &l.job.Status
	if l.end == nil || l.terminating > 0 || len(s.UncountedTerminatedPods.Succeeded)+len(s.UncountedTerminatedPods.Failed) > 0 {
		return nil
	}
	l.dirty = true
	if have := condition(s, l.end.Type); have != nil {
		*have = *l.end
	} else {
		s.Conditions = append(s.Conditions, *l.end)
	}
	if l.end.Type != batchv1.JobComplete {
		return []happening{{corev1.EventTypeWarning, l.end.Reason, l.end.Message}}
	}
	s.CompletionTime = &l.end.LastTransitionTime
	out := []happening{{corev1.EventTypeNormal, "Completed", "Job completed"}}
	if all := l.job.Spec.Completions; all != nil && s.Succeeded > *all {
		out = append([]happening{{corev1.EventTypeWarning, "TooManySucceededPods", "Too many succeeded pods running after completion count reached"}}, out...)
	}
	return out
}
