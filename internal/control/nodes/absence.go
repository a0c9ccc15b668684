package nodes

import (
	"sync"
	"time"
)

// absences remembers since when nodes have been missing, for as long as there are pods that this is about: whoever comes to the
// name later counts anew.
type absences struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// gone notes that a node is missing from now on, whatever was known before.
func (a *absences) gone(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.goneLocked(node)
}

func (a *absences) goneLocked(node string) {
	if a.since == nil {
		a.since = map[string]time.Time{}
	}
	a.since[node] = time.Now()
}

// forget drops what is known of a node: it is there, or nothing names it any more.
func (a *absences) forget(node string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.since, node)
}

// left is how much of the quarantine a missing node has before it; one that was not known to be missing has all of it, from now.
func (a *absences) left(node string) time.Duration {
	left, _ := a.leftOf(node, func() bool { return true })
	return left
}

// leftOf is left, but of a node that was not known to be missing nothing is noted, and ok is false, when no pod is named onto it:
// the quarantine of the next one that will be must not have begun before. named looks that up and is called with the lock held,
// so that the last pod's deletion, which shows in the view before it is followed by forget, cannot come between.
func (a *absences) leftOf(node string, named func() bool) (left time.Duration, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if since, known := a.since[node]; known {
		return quarantine - time.Since(since), true
	}
	if !named() {
		return 0, false
	}
	a.goneLocked(node)
	return quarantine, true
}
