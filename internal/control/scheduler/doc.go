// Package scheduler puts pods on nodes.
//
// One goroutine (Scheduler.Run) owns everything: the queue of waiting pods, the snapshot of nodes with the pods on them, and
// what is assumed. Informers and finished bindings leave notes in its inbox. For one pod at a time it runs the
// pure cycle over the snapshot, assumes the outcome and lets a crew of goroutines write the binding, so that it never waits
// for the hub; bindings that are under way at the same time share a sync of the disk.
//
// An attempt goes through these steps, each of which the plugins of the pod's profile take part in: PreFilter, Filter, Score
// (rankings.place); without a node PostFilter and back to the queue; with one Reserve and Permit (attempt.go), then PreBind
// and the binding on a binder's goroutine. When a step after the choice fails, everything is unreserved and the room is free
// again.
//
// The pods of a PodGroup, where the feature is on, have one turn in the queue together (gang.go). In it the steps up to Reserve are taken
// for one pod after the other, and the later ones only when there are nodes for enough of them (gang_attempt.go).
//
// Pods with one signature (plugin.Signer) share what is known of the nodes: a ranking keeps the nodes in classes about which
// all plugins say the same, and those of a class in buckets by score. It follows the snapshot's journal and the plugins' indexes, so that a further pod costs a look
// at the nodes that have changed. A pod that is like no other is judged looking at nodes one by one, as upstream does it
// (profile.cycle). Both give the same answers. Plugins that count pods on other nodes too (scheduler/topology) answer by area
// (plugin.Areal) and are asked once per class.
//
// The steps are interfaces in scheduler/plugin, with the plugins; the literal list of them is DefaultProfile. cmd/sampan and
// the simulations import this package.
package scheduler
