package cron

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func clock(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateTime, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func cronJob(schedule string, created time.Time, change ...func(*batchv1.CronJob)) *batchv1.CronJob {
	c := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "c", UID: "c", CreationTimestamp: metav1.NewTime(created)}}
	c.Spec.Schedule, c.Spec.ConcurrencyPolicy = schedule, batchv1.AllowConcurrent
	for _, f := range change {
		f(c)
	}
	return c
}

// TestDue says which start is due, how many were missed and when the next is.
func TestDue(t *testing.T) {
	const created = "2024-01-01 10:00:30"
	last := func(s string) func(*batchv1.CronJob) {
		return func(c *batchv1.CronJob) { c.Status.LastScheduleTime = &metav1.Time{Time: clock(t, s)} }
	}
	deadline := func(n int64) func(*batchv1.CronJob) {
		return func(c *batchv1.CronJob) { c.Spec.StartingDeadlineSeconds = &n }
	}
	for name, c := range map[string]struct {
		schedule string
		change   []func(*batchv1.CronJob)
		now      string
		want     string // the start, the number of those missed, until the next
	}{
		"not yet":             {"0 * * * *", nil, "2024-01-01 10:30:00", "- 0 30m0.1s"},
		"due":                 {"0 * * * *", nil, "2024-01-01 11:00:00", "11:00:00 0 1h0m0.1s"},
		"the next":            {"0 * * * *", []func(*batchv1.CronJob){last("2024-01-01 11:00:00")}, "2024-01-01 11:00:01", "- 0 59m59.1s"},
		"some missed":         {"0 * * * *", []func(*batchv1.CronJob){last("2024-01-01 11:00:00")}, "2024-01-01 14:10:00", "14:00:00 3 50m0.1s"},
		"many missed":         {"*/1 * * * *", nil, "2024-01-02 10:00:00", "10:00:00 1440 1m0.1s"},
		"past the deadline":   {"0 * * * *", []func(*batchv1.CronJob){deadline(60)}, "2024-01-01 11:30:00", "- 0 30m0.1s"},
		"within the deadline": {"0 * * * *", []func(*batchv1.CronJob){deadline(3600)}, "2024-01-01 11:30:00", "11:00:00 0 30m0.1s"},
		"every":               {"@every 7m", nil, "2024-01-01 10:15:00", "10:14:30 2 6m30.1s"},
		"uneven":              {"30 6-16/4 * * 1-5", []func(*batchv1.CronJob){last("2024-01-05 14:30:00")}, "2024-01-08 07:00:00", "06:30:00 0 3h30m0.1s"},
		"never":               {"59 23 31 2 *", nil, "2024-01-02 10:00:00", "error"},
	} {
		cj := cronJob(c.schedule, clock(t, created), c.change...)
		s, err := scheduleOf(cj)
		if err != nil {
			t.Fatal(err)
		}
		now := clock(t, c.now)
		d, err := dueBy(cj, s, now, true)
		at := "-"
		if !d.last.IsZero() {
			at = d.last.Format(time.TimeOnly)
		}
		got := fmt.Sprint(at, " ", d.missed, " ", untilNext(cj, s, now))
		if err != nil {
			got = "error"
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestZones(t *testing.T) {
	cj := cronJob("0 9 * * *", clock(t, "2024-07-01 00:00:00"), func(c *batchv1.CronJob) { c.Spec.TimeZone = new("America/New_York") })
	s, err := scheduleOf(cj)
	if err != nil {
		t.Fatal(err)
	}
	if at := s.Next(cj.CreationTimestamp.Time).UTC().Format(time.DateTime); at != "2024-07-01 13:00:00" {
		t.Error(at)
	}
	j, err := jobFor(cj, clock(t, "2024-07-01 13:00:00"))
	if err != nil || j.Name != "c-28663980" || j.Annotations[batchv1.CronJobScheduledTimestampAnnotation] != "2024-07-01T09:00:00-04:00" || j.OwnerReferences[0].Kind != "CronJob" {
		t.Errorf("%+v %v", j, err)
	}
}

func jobIn(name string, end batchv1.JobConditionType, started int) *batchv1.Job {
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
	at := metav1.NewTime(time.Unix(int64(started), 0))
	j.Status.StartTime = &at
	if end != "" {
		j.Status.Conditions = []batchv1.JobCondition{{Type: end, Status: corev1.ConditionTrue}}
	}
	if end == batchv1.JobComplete {
		j.Status.CompletionTime = &at
	}
	return j
}

// TestPlan says what is done, written and told at a look at 11:00:01 on an hourly CronJob.
func TestPlan(t *testing.T) {
	active := func(names ...string) func(*batchv1.CronJob) {
		return func(c *batchv1.CronJob) {
			for _, n := range names {
				c.Status.Active = append(c.Status.Active, corev1.ObjectReference{Namespace: "ns", Name: n, UID: types.UID(n)})
			}
		}
	}
	policy := func(p batchv1.ConcurrencyPolicy) func(*batchv1.CronJob) {
		return func(c *batchv1.CronJob) { c.Spec.ConcurrencyPolicy = p }
	}
	keep := func(ok, bad int32) func(*batchv1.CronJob) {
		return func(c *batchv1.CronJob) { c.Spec.SuccessfulJobsHistoryLimit, c.Spec.FailedJobsHistoryLimit = &ok, &bad }
	}
	for name, c := range map[string]struct {
		change []func(*batchv1.CronJob)
		jobs   []*batchv1.Job
		gone   string
		want   string
	}{
		"start":       {nil, nil, "", "start"},
		"suspended":   {[]func(*batchv1.CronJob){func(c *batchv1.CronJob) { c.Spec.Suspend = new(true) }}, nil, "", ""},
		"dying":       {[]func(*batchv1.CronJob){func(c *batchv1.CronJob) { c.DeletionTimestamp = &metav1.Time{} }}, nil, "", ""},
		"strange":     {[]func(*batchv1.CronJob){func(c *batchv1.CronJob) { c.Spec.TimeZone = new("Moon/Crater") }}, nil, "", "UnknownTimeZone"},
		"malformed":   {[]func(*batchv1.CronJob){func(c *batchv1.CronJob) { c.Spec.Schedule = "x" }}, nil, "", "UnparseableSchedule"},
		"old zone":    {[]func(*batchv1.CronJob){func(c *batchv1.CronJob) { c.Spec.Schedule = "TZ=UTC 0 * * * *" }}, nil, "", "UnsupportedSchedule start"},
		"forbidden":   {[]func(*batchv1.CronJob){active("j"), policy(batchv1.ForbidConcurrent)}, []*batchv1.Job{jobIn("j", "", 1)}, "", "JobAlreadyActive"},
		"free again":  {[]func(*batchv1.CronJob){active("j"), policy(batchv1.ForbidConcurrent)}, []*batchv1.Job{jobIn("j", batchv1.JobFailed, 1)}, "", "SawCompletedJob write start"},
		"replaced":    {[]func(*batchv1.CronJob){active("j"), policy(batchv1.ReplaceConcurrent)}, []*batchv1.Job{jobIn("j", "", 1)}, "", "start instead of j"},
		"missing":     {[]func(*batchv1.CronJob){active("j"), policy(batchv1.ForbidConcurrent)}, nil, "j", "MissingJob write start"},
		"unexpected":  {nil, []*batchv1.Job{jobIn("j", "", 1)}, "", "UnexpectedJob start"},
		"made before": {[]func(*batchv1.CronJob){active("c-28401780")}, []*batchv1.Job{jobIn("c-28401780", "", 1)}, "", ""},
		"success":     {[]func(*batchv1.CronJob){func(c *batchv1.CronJob) { c.Spec.Suspend = new(true) }}, []*batchv1.Job{jobIn("j", batchv1.JobComplete, 1)}, "", "write"},
		"history": {[]func(*batchv1.CronJob){keep(1, 0), func(c *batchv1.CronJob) { c.Spec.Suspend = new(true) }},
			[]*batchv1.Job{jobIn("b", batchv1.JobComplete, 2), jobIn("a", batchv1.JobComplete, 1), jobIn("f", batchv1.JobFailed, 3), jobIn("r", "", 1)}, "", "delete a f UnexpectedJob write"},
	} {
		l := &look{cron: cronJob("0 * * * *", clock(t, "2024-01-01 10:00:30"), c.change...), jobs: c.jobs, now: clock(t, "2024-01-01 11:00:01"),
			gone: map[types.UID]bool{types.UID(c.gone): c.gone != ""}}
		var out []string
		if s := l.surplus(); len(s) > 0 {
			out = append(out, "delete")
			for _, j := range s {
				out = append(out, j.Name)
			}
		}
		l.follow()
		p := l.plan()
		for _, e := range l.events {
			out = append(out, e.reason)
		}
		if l.dirty {
			out = append(out, "write")
		}
		if !p.start.IsZero() {
			out = append(out, "start")
			if p.start.Format(time.TimeOnly) != "11:00:00" || p.next != time.Hour-900*time.Millisecond {
				t.Errorf("%s: start %v, next in %v", name, p.start, p.next)
			}
		}
		for _, r := range p.replace {
			out = append(out, "instead of "+r.Name)
		}
		if got := strings.Join(out, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
