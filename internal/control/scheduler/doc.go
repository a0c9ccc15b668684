// Package scheduler puts pods on nodes.
//
// One goroutine (Scheduler.Run) owns everything: the queue of waiting pods, the snapshot of nodes with the pods on them, and
// the record of why a pod waits. Informers and finished bindings leave notes in its inbox. For one pod at a time it runs the
// pure cycle over the snapshot, assumes the outcome and lets a crew of goroutines write the binding, so that it never waits
// for the hub; bindings that are under way at the same time share a sync of the disk.
//
// Pods that are alike (plugin.Pod.Class) share what is known of the nodes: a class keeps every node's verdict and the nodes
// that fit in buckets by score, and follows the snapshot's list of changes, so that a further pod of it costs a look at the
// nodes that have changed. A pod that is like no other is looked at on its own, as upstream does it (cycle). Both give the
// same answers.
//
// Filters and scores are in scheduler/plugin; the literal list of them is in profile.go. cmd/sampan and the simulations
// import this package.
package scheduler
