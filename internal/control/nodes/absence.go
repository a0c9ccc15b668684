package nodes

import (
	"sync"
	"time"
)

// absences remembers since when nodes have been missing.
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

// back notes that a node is there.
func (a *absences) back(node string) {
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
