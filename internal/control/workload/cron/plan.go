package cron

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api/batch"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var (
	cronJobKind = batchv1.SchemeGroupVersion.WithKind("CronJob")
	jobKind     = batchv1.SchemeGroupVersion.WithKind("Job")
)

// happening is an event about a CronJob.
type happening struct{ kind, reason, message string }

// look is a CronJob, its Jobs and the time. It belongs to one call of reconcile.
type look struct {
	cron *batchv1.CronJob // its status is the look's own and will be written, all else is frozen
	jobs []*batchv1.Job
	now  time.Time
	gone map[types.UID]bool // active by the status, and not there

	dirty  bool // the status has changed
	events []happening
}

// plan is what is to be done about the starts of a CronJob.
type plan struct {
	start   time.Time                // a Job is to be made for this one; zero: none
	replace []corev1.ObjectReference // Jobs that have to make way for it
	next    time.Duration            // until there is something to do again; 0: not by time
}

// surplus returns the Jobs that have ended and are beyond the history, oldest first.
func (l *look) surplus() []*batchv1.Job {
	var out []*batchv1.Job
	for _, h := range []struct {
		end  batchv1.JobConditionType
		keep *int32
	}{{batchv1.JobComplete, l.cron.Spec.SuccessfulJobsHistoryLimit}, {batchv1.JobFailed, l.cron.Spec.FailedJobsHistoryLimit}} {
		if h.keep == nil {
			continue
		}
		var ended []*batchv1.Job
		for _, j := range l.jobs {
			if c := batch.End(&j.Status); c != nil && c.Type == h.end {
				ended = append(ended, j)
			}
		}
		slices.SortFunc(ended, compareStart)
		out = append(out, ended[:max(0, len(ended)-int(*h.keep))]...)
	}
	return out
}

// compareStart puts what started first first, and what never did last.
func compareStart(a, b *batchv1.Job) int {
	as, bs := a.Status.StartTime, b.Status.StartTime
	switch {
	case as == nil && bs != nil:
		return 1
	case as != nil && bs == nil:
		return -1
	case as != nil && !as.Equal(bs):
		return as.Compare(bs.Time)
	}
	return cmp.Compare(a.Name, b.Name)
}

// follow brings the list of active Jobs and the time of the last success up to date.
func (l *look) follow() {
	s := &l.cron.Status
	for _, j := range l.jobs {
		end, active := batch.End(&j.Status), l.isActive(j.UID)
		switch {
		case end == nil && !active:
			l.tell(corev1.EventTypeWarning, "UnexpectedJob", "Saw a job that the controller did not create or forgot: %s", j.Name)
		case end != nil && active:
			l.forget(j.UID)
			l.tell(corev1.EventTypeNormal, "SawCompletedJob", "Saw completed job: %s, condition: %s", j.Name, end.Type)
		}
		if at := j.Status.CompletionTime; end != nil && end.Type == batchv1.JobComplete && at != nil && (s.LastSuccessfulTime == nil || at.After(s.LastSuccessfulTime.Time)) {
			s.LastSuccessfulTime, l.dirty = at, true
		}
	}
	for _, ref := range slices.Clone(s.Active) {
		if l.gone[ref.UID] {
			l.tell(corev1.EventTypeNormal, "MissingJob", "Active job went missing: %s", ref.Name)
			l.forget(ref.UID)
		}
	}
}

// plan decides whether a Job is to be made now.
func (l *look) plan() (p plan) {
	c := l.cron
	if c.DeletionTimestamp != nil {
		return p
	}
	if z := c.Spec.TimeZone; z != nil {
		if _, err := time.LoadLocation(*z); err != nil {
			l.tell(corev1.EventTypeWarning, "UnknownTimeZone", "invalid timeZone: %q: %s", *z, err)
			return p
		}
	}
	if c.Spec.Suspend != nil && *c.Spec.Suspend {
		return p
	}
	if strings.Contains(c.Spec.Schedule, "TZ") {
		l.tell(corev1.EventTypeWarning, "UnsupportedSchedule", "CRON_TZ or TZ used in schedule %q is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details", c.Spec.Schedule)
	}
	s, err := scheduleOf(c)
	if err != nil {
		l.tell(corev1.EventTypeWarning, "UnparseableSchedule", "unparseable schedule: %q : %s", c.Spec.Schedule, err)
		return p
	}
	d, err := dueBy(c, s, l.now, true)
	if err != nil {
		l.tell(corev1.EventTypeWarning, "InvalidSchedule", "invalid schedule: %s : %s", c.Spec.Schedule, err)
		return p
	}
	p.next = untilNext(c, s, l.now)
	if d.last.IsZero() {
		return p
	}
	if d.missed > manyMissed {
		l.tell(corev1.EventTypeWarning, "TooManyMissedTimes", "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew")
	}
	if limit := c.Spec.StartingDeadlineSeconds; limit != nil && d.last.Add(time.Duration(*limit)*time.Second).Before(l.now) {
		l.tell(corev1.EventTypeWarning, "MissSchedule", "Missed scheduled time to start a job: %s", d.last.UTC().Format(time.RFC1123Z))
		return p
	}
	return l.begin(p, d.last)
}

// begin has a Job made for a start, if there is not one already and those that are active let it.
func (l *look) begin(p plan, start time.Time) plan {
	c := l.cron
	name := jobName(c, start)
	made := slices.ContainsFunc(c.Status.Active, func(r corev1.ObjectReference) bool { return r.Name == name && r.Namespace == c.Namespace })
	switch {
	case made, c.Status.LastScheduleTime.Equal(&metav1.Time{Time: start}):
		return p
	case c.Spec.ConcurrencyPolicy == batchv1.ForbidConcurrent && len(c.Status.Active) > 0:
		l.tell(corev1.EventTypeNormal, "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
		return p
	case c.Spec.ConcurrencyPolicy == batchv1.ReplaceConcurrent:
		p.replace = slices.Clone(c.Status.Active)
	}
	p.start = start
	return p
}

// started notes a Job that has been made for a start, and that it is the last.
func (l *look) started(j *batchv1.Job, start time.Time) {
	s := &l.cron.Status
	s.Active = append(s.Active, corev1.ObjectReference{
		Kind: jobKind.Kind, APIVersion: jobKind.GroupVersion().String(),
		Namespace: j.Namespace, Name: j.Name, UID: j.UID, ResourceVersion: j.ResourceVersion,
	})
	s.LastScheduleTime, l.dirty = &metav1.Time{Time: start}, true
}

func (l *look) isActive(uid types.UID) bool {
	return slices.ContainsFunc(l.cron.Status.Active, func(r corev1.ObjectReference) bool { return r.UID == uid })
}

func (l *look) forget(uid types.UID) {
	s := &l.cron.Status
	if l.isActive(uid) {
		s.Active = slices.DeleteFunc(slices.Clone(s.Active), func(r corev1.ObjectReference) bool { return r.UID == uid })
		l.dirty = true
	}
}

func (l *look) tell(kind, reason, format string, args ...any) {
	l.events = append(l.events, happening{kind, reason, fmt.Sprintf(format, args...)})
}

// jobName names a Job after the minute that it was due.
func jobName(c *batchv1.CronJob, start time.Time) string {
	return fmt.Sprintf("%s-%d", c.Name, start.Unix()/60)
}

// jobFor makes the Job of a start. It shares its spec with the template: the door copies what it is given.
func jobFor(c *batchv1.CronJob, start time.Time) (*batchv1.Job, error) {
	zone := ""
	if c.Spec.TimeZone != nil {
		zone = *c.Spec.TimeZone
	}
	at, err := time.LoadLocation(zone)
	if err != nil {
		return nil, err
	}
	t := &c.Spec.JobTemplate
	annotations := map[string]string{}
	maps.Copy(annotations, t.Annotations)
	annotations[batchv1.CronJobScheduledTimestampAnnotation] = start.In(at).Format(time.RFC3339)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: c.Namespace, Name: jobName(c, start), Labels: t.Labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(c, cronJobKind)},
		},
		Spec: t.Spec,
	}, nil
}
