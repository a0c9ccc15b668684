// Package memory is a store.Store without a disk: for virtual-time tests and the test mode, never a production default.
//
// It owns every version of every key since the last Compact, and one log of changes from which watches are served. It
// runs no goroutines but those that lease keys out (none while no key has a time to live), and blocks only on channels,
// so that it works inside a testing/synctest bubble. Only the hub and its tests import it.
package memory
