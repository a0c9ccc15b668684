package cron

import (
	"errors"
	"strings"
	"time"

	"sampan.dev/internal/api/batch"

	"github.com/robfig/cron/v3"
	batchv1 "k8s.io/api/batch/v1"
)

// leeway is added to the time of the next look, so that a clock which is a little slow does not have it come too early.
const leeway = 100 * time.Millisecond

// manyMissed is the number of starts beyond which missing them is told of.
const manyMissed = 100

// scheduleOf reads a CronJob's schedule in its time zone.
func scheduleOf(c *batchv1.CronJob) (cron.Schedule, error) {
	line := c.Spec.Schedule
	if c.Spec.TimeZone != nil && !strings.Contains(line, "TZ") {
		if _, err := time.LoadLocation(*c.Spec.TimeZone); err == nil {
			line = "TZ=" + *c.Spec.TimeZone + " " + line
		}
	}
	return batch.ParseSchedule(line)
}

// due is what is known of the starts of a CronJob that lie in the past.
type due struct {
	since  time.Time // the last start, or since when starts are looked for
	last   time.Time // the last that should have been; zero if there is none
	missed int64     // about how many there should have been; 1 is the usual
}

var errDense = errors.New("time difference between two schedules is less than 1 second")

// dueBy finds the last start that should have been by now. deadline leaves out those that are past the starting deadline.
//
// Starts are not walked over one by one, for there may be years of them: their number is reckoned from the distance of the first
// two, and the walk begins one such distance before the last.
func dueBy(c *batchv1.CronJob, s cron.Schedule, now time.Time, deadline bool) (due, error) {
	d := due{since: c.CreationTimestamp.Time}
	if c.Status.LastScheduleTime != nil {
		d.since = c.Status.LastScheduleTime.Time
	}
	if limit := c.Spec.StartingDeadlineSeconds; deadline && limit != nil {
		if from := now.Add(-time.Duration(*limit) * time.Second); from.After(d.since) {
			d.since = from
		}
	}
	first := s.Next(d.since)
	second := s.Next(first)
	switch {
	case now.Before(first):
		return d, nil
	case now.Before(second):
		d.last = first
		return d, nil
	}
	apart := int64(second.Sub(first).Round(time.Second).Seconds())
	if apart < 1 {
		return d, errDense // of the 31st of February: there is no such time, now or ever
	}
	d.missed = int64(now.Sub(first).Seconds())/apart + 1
	from := first.Add(time.Duration((d.missed-2)*apart) * time.Second)
	for t := s.Next(from); !t.After(now); t = s.Next(t) {
		d.last = t
	}
	return d, nil
}

// untilNext is how long it is until the next start has to be looked at.
func untilNext(c *batchv1.CronJob, s cron.Schedule, now time.Time) time.Duration {
	d, err := dueBy(c, s, now, false)
	from := d.last
	switch {
	case err != nil, from.IsZero() && d.missed > 0:
		from = now
	case from.IsZero():
		from = d.since
	}
	return max(time.Nanosecond, s.Next(from).Add(leeway).Sub(now))
}
