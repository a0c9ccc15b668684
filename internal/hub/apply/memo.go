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
		by map[target]map[string]*made // by the manager's name and the object's shape
		n  int
	}
	buffers sync.Pool // of *[]byte
}

// made is the managed fields of one shape. Who asks first reckons them, and the others wait: at the start of a hub dozens of
// creates of one shape begin at once.
type made struct {
	done    chan struct{} // closed by the first
	entries []metav1.ManagedFieldsEntry
	ok      bool // else they could not be reckoned
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
	of, first := m.at(t, key)
	if first {
		defer close(of.done)
		err := reckon()
		of.entries, of.ok = obj.GetManagedFields(), err == nil
		return err
	}
	<-of.done
	if !of.ok {
		return reckon()
	}
	now := metav1.NewTime(time.Now().UTC())
	own := make([]metav1.ManagedFieldsEntry, len(of.entries))
	for i := range of.entries {
		own[i] = of.entries[i]
		own[i].Time = &now
	}
	obj.SetManagedFields(own)
	return nil
}

// at returns what is kept for a shape, and whether the caller is the first who asks.
func (m *memo) at(t target, key []byte) (of *made, first bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if of := m.mu.by[t][string(key)]; of != nil {
		return of, false
	}
	if m.mu.n++; m.mu.n > memoSize || m.mu.by == nil {
		m.mu.by, m.mu.n = map[target]map[string]*made{}, 1
	}
	if m.mu.by[t] == nil {
		m.mu.by[t] = map[string]*made{}
	}
	of = &made{done: make(chan struct{})}
	m.mu.by[t][string(key)] = of
	return of, true
}
