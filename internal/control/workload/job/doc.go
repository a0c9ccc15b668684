// Package job is the job-controller: it runs the pods of Jobs until enough of them have succeeded or too many have failed.
//
// Each pod carries the finalizer batch.kubernetes.io/job-tracking until its end is counted. Counting takes three writes, so that a
// crash between any two loses no pod and counts none twice: the pod's UID is put into the Job's status (uncountedTerminatedPods; of
// an indexed Job's success the index says as much), the finalizer is taken off, and the UID is exchanged for a number.
//
// What is to be done is decided on a look, a value made of a Job and its pods: look.go says how the Job stands and whether it
// ends, pods.go which pods are made or deleted, count.go what is counted. job.go carries it out. spans.go, policy.go and
// backoff.go are the arithmetic below.
//
// It owns the number of failures in a row of each Job. Goroutines: its workers, and one for pods that are no Job's any more
// (orphan.go). internal/control imports it.
package job
