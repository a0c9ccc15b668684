package batch

import (
	"slices"
	"strconv"

	"sampan.dev/internal/api/valid"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// hasCondition reports whether a status has a condition of the type, with that value.
func hasCondition(s *batchv1.JobStatus, t batchv1.JobConditionType, value corev1.ConditionStatus) bool {
	return slices.ContainsFunc(s.Conditions, func(c batchv1.JobCondition) bool { return c.Type == t && c.Status == value })
}

func isTrue(s *batchv1.JobStatus, t batchv1.JobConditionType) bool {
	return hasCondition(s, t, corev1.ConditionTrue)
}

// End returns the condition that says a job has ended, Complete or Failed, or nil of one that has not.
func End(s *batchv1.JobStatus) *batchv1.JobCondition {
	for i := range s.Conditions {
		if c := &s.Conditions[i]; c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c
		}
	}
	return nil
}

func finished(s *batchv1.JobStatus) bool { return End(s) != nil }

// statusChange is a change of a job's status. A rule is asked only when what it is about changes, so that a status which breaks it
// already, because the spec changed under it, can be put right in other places.
type statusChange struct {
	job      *batchv1.Job
	now, was *batchv1.JobStatus
	errs     field.ErrorList
}

func validateJobStatus(j, old *batchv1.Job) field.ErrorList {
	c := &statusChange{job: j, now: &j.Status, was: &old.Status}
	c.checkCounts()
	c.checkCompletion()
	c.checkFinish()
	c.checkIndexes()
	c.checkPods()
	c.checkCriteria()
	c.checkGoingBack()
	return c.errs
}

var statusPath = field.NewPath("status")

func (c *statusChange) invalid(name string, value any, detail string) {
	c.errs = append(c.errs, field.Invalid(statusPath.Child(name), value, detail))
}

func (c *statusChange) required(name, detail string) {
	c.errs = append(c.errs, field.Required(statusPath.Child(name), detail))
}

// condition complains of the conditions, which are too long to be shown.
func (c *statusChange) condition(detail string) {
	c.invalid("conditions", field.OmitValueType{}, detail)
}

// turned reports whether a condition became true or stopped being so.
func (c *statusChange) turned(t batchv1.JobConditionType) bool {
	return isTrue(c.now, t) != isTrue(c.was, t)
}

func differs(a, b any) bool { return !equality.Semantic.DeepEqual(a, b) }

func (c *statusChange) checkCounts() {
	s := c.now
	for _, n := range []struct {
		name  string
		value *int32
	}{{"active", &s.Active}, {"succeeded", &s.Succeeded}, {"failed", &s.Failed}, {"ready", s.Ready}, {"terminating", s.Terminating}} {
		c.errs = append(c.errs, nonNegative(n.value, statusPath.Child(n.name))...)
	}
	if s.UncountedTerminatedPods == nil {
		return
	}
	seen := map[types.UID]bool{}
	path := statusPath.Child("uncountedTerminatedPods")
	for _, l := range []struct {
		name string
		uids []types.UID
	}{{"succeeded", s.UncountedTerminatedPods.Succeeded}, {"failed", s.UncountedTerminatedPods.Failed}} {
		for i, uid := range l.uids {
			at := path.Child(l.name).Index(i)
			switch {
			case uid == "":
				c.errs = append(c.errs, field.Invalid(at, uid, "must not be empty"))
			case seen[uid]:
				c.errs = append(c.errs, field.Duplicate(at, uid))
			}
			seen[uid] = true
		}
	}
}

// checkCompletion checks the condition Complete against the others and against the times.
func (c *statusChange) checkCompletion() {
	s := c.now
	complete, timed := c.turned(batchv1.JobComplete), differs(c.now.CompletionTime, c.was.CompletionTime)
	is := isTrue(s, batchv1.JobComplete)
	if (complete || c.turned(batchv1.JobFailed)) && is && isTrue(s, batchv1.JobFailed) {
		c.condition("cannot set Complete=True and Failed=true conditions")
	}
	if (complete || c.turned(batchv1.JobFailureTarget)) && is && isTrue(s, batchv1.JobFailureTarget) {
		c.condition("cannot set Complete=True and FailureTarget=true conditions")
	}
	if (complete || timed) && s.CompletionTime != nil && !is {
		c.invalid("completionTime", s.CompletionTime, "cannot set completionTime when there is no Complete=True condition")
	}
	if (complete || timed) && s.CompletionTime == nil && is {
		c.required("completionTime", "completionTime is required for Complete jobs")
	}
	if (timed || differs(s.StartTime, c.was.StartTime)) && s.StartTime != nil && s.CompletionTime != nil && s.CompletionTime.Before(s.StartTime) {
		c.invalid("completionTime", s.CompletionTime, "must be equal to or after `startTime`")
	}
	failedIndexes := differs(s.FailedIndexes, c.was.FailedIndexes)
	if (c.turned(batchv1.JobFailed) || failedIndexes) && isTrue(s, batchv1.JobFailed) && !isTrue(s, batchv1.JobFailureTarget) {
		c.condition("cannot set Failed=True condition without the FailureTarget=true condition")
	}
	if (complete || c.turned(batchv1.JobSuccessCriteriaMet)) && is && !isTrue(s, batchv1.JobSuccessCriteriaMet) {
		c.condition("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
	}
}

// checkFinish checks what a finished job has no more, and what it must have.
func (c *statusChange) checkFinish() {
	s, is := c.now, finished(c.now)
	turned := is != finished(c.was)
	if (turned || s.Active != c.was.Active) && is && s.Active > 0 {
		c.invalid("active", s.Active, "active>0 is invalid for finished job")
	}
	never := valid.Deref(c.job.Spec.Suspend) && c.job.Spec.Completions != nil && *c.job.Spec.Completions == 0
	if (turned || differs(s.StartTime, c.was.StartTime)) && !never && is && s.StartTime == nil {
		c.required("startTime", "startTime is required for finished job")
	}
	u := s.UncountedTerminatedPods
	if (turned || differs(u, c.was.UncountedTerminatedPods)) && is && u != nil && len(u.Failed)+len(u.Succeeded) > 0 {
		c.invalid("uncountedTerminatedPods", valid.Internal(u), "must be empty for finished job")
	}
}

func (c *statusChange) checkIndexes() {
	s, spec := c.now, &c.job.Spec
	completed, failed := s.CompletedIndexes != c.was.CompletedIndexes, differs(s.FailedIndexes, c.was.FailedIndexes)
	if completed && spec.Completions != nil {
		if _, err := countIndexes(s.CompletedIndexes, *spec.Completions); err != nil {
			c.invalid("completedIndexes", s.CompletedIndexes, "error parsing completedIndexes: "+err.Error())
		}
	}
	if failed && spec.Completions != nil && spec.BackoffLimitPerIndex != nil && s.FailedIndexes != nil {
		if _, err := countIndexes(*s.FailedIndexes, *spec.Completions); err != nil {
			c.invalid("failedIndexes", s.FailedIndexes, "error parsing failedIndexes: "+err.Error())
		}
	}
	if completed && s.CompletedIndexes != "" && !indexed(spec) {
		c.invalid("completedIndexes", s.CompletedIndexes, "cannot set non-empty completedIndexes when non-indexed completion mode")
	}
	if failed && spec.BackoffLimitPerIndex == nil && s.FailedIndexes != nil {
		c.invalid("failedIndexes", *s.FailedIndexes, "cannot set non-null failedIndexes when backoffLimitPerIndex is null")
	}
	if (failed || completed) && spec.Completions != nil && s.FailedIndexes != nil {
		if i, ok := overlap(s.CompletedIndexes, *s.FailedIndexes, *spec.Completions); ok {
			c.invalid("failedIndexes", *s.FailedIndexes, "failedIndexes and completedIndexes overlap at index: "+strconv.Itoa(int(i)))
		}
	}
}

func (c *statusChange) checkPods() {
	s, is := c.now, finished(c.now)
	if (is != finished(c.was) || differs(s.Terminating, c.was.Terminating)) && valid.Deref(s.Terminating) > 0 && is {
		c.invalid("terminating", s.Terminating, "terminating>0 is invalid for finished job")
	}
	if (differs(s.Ready, c.was.Ready) || s.Active != c.was.Active) && s.Ready != nil && *s.Ready > s.Active {
		c.invalid("ready", *s.Ready, "cannot set more ready pods than active")
	}
}

func (c *statusChange) checkCriteria() {
	met := isTrue(c.now, batchv1.JobSuccessCriteriaMet)
	if met && isTrue(c.now, batchv1.JobFailed) {
		c.condition("cannot set SuccessCriteriaMet=True and Failed=true conditions")
	}
	if met && isTrue(c.now, batchv1.JobFailureTarget) {
		c.condition("cannot set SuccessCriteriaMet=True and FailureTarget=true conditions")
	}
	if c.job.Spec.SuccessPolicy != nil && !met && isTrue(c.now, batchv1.JobComplete) {
		c.condition("cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True")
	}
}

// checkGoingBack refuses what cannot be undone.
func (c *statusChange) checkGoingBack() {
	now, was, spec := c.now, c.was, &c.job.Spec
	for _, t := range []batchv1.JobConditionType{batchv1.JobFailed, batchv1.JobComplete, batchv1.JobFailureTarget} {
		if isTrue(was, t) && !isTrue(now, t) {
			c.condition("cannot disable the terminal " + string(t) + "=True condition")
		}
	}
	if now.Failed < was.Failed {
		c.invalid("failed", now.Failed, "cannot decrease the failed counter")
	}
	// An indexed job with as many completions as pods at a time can be made smaller.
	if shrinks := indexed(spec) && !differs(spec.Completions, spec.Parallelism); !shrinks && now.Succeeded < was.Succeeded {
		c.invalid("succeeded", now.Succeeded, "cannot decrease the succeeded counter")
	}
	if now.CompletionTime != nil && was.CompletionTime != nil && differs(now.CompletionTime, was.CompletionTime) {
		c.invalid("completionTime", now.CompletionTime, "field is immutable")
	}
	resumes := isTrue(was, batchv1.JobSuspended) && hasCondition(now, batchv1.JobSuspended, corev1.ConditionFalse)
	if was.StartTime != nil && differs(was.StartTime, now.StartTime) && !resumes && !valid.Deref(spec.Suspend) {
		c.invalid("startTime", now.StartTime, "field is immutable for unsuspended job once set")
	}
	if isTrue(was, batchv1.JobSuccessCriteriaMet) && !isTrue(now, batchv1.JobSuccessCriteriaMet) {
		c.condition("cannot disable the SuccessCriteriaMet=True condition")
	}
	if isTrue(was, batchv1.JobComplete) && !isTrue(was, batchv1.JobSuccessCriteriaMet) && isTrue(now, batchv1.JobSuccessCriteriaMet) {
		c.condition("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")
	}
}
