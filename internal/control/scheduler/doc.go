// Package scheduler puts pods on nodes.
//
// One goroutine (Scheduler.Run) owns everything: the queue of waiting pods, the snapshot of nodes with the pods on them, and
// the record of why a pod waits. Informers and finished bindings leave notes in its inbox. For one pod at a time it runs the
// pure Cycle over the snapshot, assumes the outcome and lets a small number of goroutines write the bindings, so that it
// never waits for the hub.
//
// Filters and scores are in scheduler/plugin; the literal list of them is in profile.go. cmd/sampan and the simulations
// import this package.
package scheduler
