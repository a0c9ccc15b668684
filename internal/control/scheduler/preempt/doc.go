// Package preempt is the scheduler's DefaultPreemption: when a pod fits nowhere, it looks for a node on which it would fit
// without some pods of lower priority, and evicts those.
//
// victims.go and choose.go are pure: which pods of a node would have to go, and which node's going costs least. default.go is
// the plugin with its index, evict.go writes. The scheduler imports it.
package preempt
