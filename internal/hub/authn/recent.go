package authn

import "sync"

// recent is a cache of at most size values, in two generations of half as many.
//
// New and used values are in the young generation. When it is full it becomes the old one, and what was in the old one and has
// not been used since is forgotten. Any goroutine may use it: mu guards both maps and is held for a look-up only.
type recent[K comparable, V any] struct {
	size int
	mu   struct {
		sync.Mutex
		young, old map[K]V
	}
}

func newRecent[K comparable, V any](size int) *recent[K, V] {
	r := &recent[K, V]{size: size}
	r.mu.young = map[K]V{}
	return r
}

func (r *recent[K, V]) get(k K) (V, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok := r.mu.young[k]; ok {
		return v, true
	}
	v, ok := r.mu.old[k]
	if ok {
		r.putLocked(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.putLocked(k, v)
}

func (r *recent[K, V]) putLocked(k K, v V) {
	if len(r.mu.young) >= r.size/2 {
		r.mu.old, r.mu.young = r.mu.young, map[K]V{}
	}
	r.mu.young[k] = v
}
