// Package replay judges a scheduler by what was written to the hub: it takes every version of pods, nodes and claims of devices in the
// order of their revisions, and tells what should never have been written. It knows nothing of how a scheduler works, counts requests by
// upstream's library and not by the scheduler's plugins, and so judges any scheduler.
//
// It owns the copy of the cluster that it makes, runs no goroutine, and is for tests and benches.
package replay
