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

// left is how much of the quarantine a missing node has before it; one that was not known to be missing has all of it.
func (a *absences) left(node string) time.Duration {
	a.mu.Lock()
	since, ok := a.since[node]
	a.mu.Unlock()
	if !ok {
		a.gone(node)
		return quarantine
	}
	return quarantine - time.Since(since)
}
