// Package cron is the cronjob-controller: it makes the Jobs of CronJobs at the times that their schedules say, and deletes those
// beyond the history that is kept.
//
// A Job is named after the minute it was due, so that a crash between making it and writing that down does not make it twice.
// Schedules are read by robfig/cron. schedule.go says which start is due, plan.go what to do about it; both are pure. cron.go
// carries it out.
//
// It owns no data but its queue. Goroutines: its workers. internal/control imports it.
package cron
