// Package history keeps the ControllerRevisions of StatefulSets and DaemonSets: what a revision holds of a template, which is
// newer, what it is named after, and the reading, adopting and writing of those of one owner.
//
// A revision's data, hash, name and labels are upstream's to the byte, so that a set whose revisions another controller manager
// wrote goes on without a rollout, and kubectl rollout history and undo read them.
//
// It owns no data and runs no goroutines. The two controllers below internal/control/workload import it.
package history
