package apply

import (
	"sync"
	"time"

	"sampan.dev/internal/api"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// memo is a cache of the managed fields of created objects, by manager and shape of the object: which fields it sets, not
// to what.
//
// Computing them is a third of the cost of a create. They depend on manager and shape alone, and one owner (a ReplicaSet, a
// Job, an event recorder) makes objects of one shape; so they are computed for the first and copied for the others, with
// the time of the create. The copies share their bytes.
type memo struct {
	mu struct {
		sync.Mutex
		by map[target]map[string][]metav1.ManagedFieldsEntry // by the manager's name and the object's shape
		n  int
	}
	buffers sync.Pool // of *[]byte
}

// What is kept: so many shapes, none longer than this. When there are more, all are forgotten.
const (
	memoSize = 128
	memoMost = 8 << 10
)

// of returns the managed fields of obj, which manager creates, from memory or from reckon. obj is one that nobody else holds.
func (m *memo) of(t target, obj api.Object, manager string, reckon func() error) error {
	if _, untyped := obj.(runtime.Unstructured); untyped || obj.GetManagedFields() != nil { // an empty list asks for none
		return reckon()
	}
	p, _ := m.buffers.Get().(*[]byte)
	if p == nil {
		p = new([]byte)
	}
	defer m.buffers.Put(p)
	key, err := appendShape(append(append((*p)[:0], manager...), 0), obj)
	if *p = key; err != nil || len(key) > memoMost {
		return reckon()
	}
	m.mu.Lock()
	entries, ok := m.mu.by[t][string(key)]
	m.mu.Unlock()
	if ok {
		now := metav1.NewTime(time.Now().UTC())
		own := make([]metav1.ManagedFieldsEntry, len(entries))
		for i := range entries {
			own[i] = entries[i]
			own[i].Time = &now
		}
		obj.SetManagedFields(own)
		return nil
	}
	if err := reckon(); err != nil {
		return err
	}
	m.keep(t, string(key), obj.GetManagedFields())
	return nil
}

func (m *memo) keep(t target, key string, entries []metav1.ManagedFieldsEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.n++; m.mu.n > memoSize || m.mu.by == nil {
		m.mu.by, m.mu.n = map[target]map[string][]metav1.ManagedFieldsEntry{}, 1
	}
	if m.mu.by[t] == nil {
		m.mu.by[t] = map[string][]metav1.ManagedFieldsEntry{}
	}
	m.mu.by[t][key] = entries
}
