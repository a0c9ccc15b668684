// Package batch describes the kinds of the group batch: Job and CronJob.
//
// It owns no data, runs no goroutines and does no I/O; all of its functions are pure. It imports api, api/valid and, for the
// defaults of pod templates, api/core. api/all lists its kinds.
package batch
