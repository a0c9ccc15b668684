package loop

import (
	"strconv"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/cache"

	"k8s.io/apimachinery/pkg/types"
)

// Ledger remembers what a controller wrote for each key until its informers show it.
//
// A controller that counts what it owns in an informer must not count before its own writes have arrived there, or it
// creates the same replicas twice. Upstream counts expected events, and gives up after five minutes when one was lost. Here
// nothing is counted: each write leaves a note that says how to tell from the view itself that the view contains it (its
// revision has been passed, the object is there, or it is gone), so a lost or doubled event can neither unblock a key too
// early nor block it for ever. The order is: write, note, return from Reconcile; the next Reconcile of the key starts only
// when every note is settled, and the queue lets no two run at once. Hence every decision is made on a view that
// contains all earlier writes for that key.
type Ledger struct {
	mu struct {
		sync.Mutex
		notes map[string][]note
	}
}

// View is what a ledger asks of an informer.
type View interface {
	Lookup(namespace, name string) (api.Object, bool)
	Revision() string
}

type note struct {
	view            View
	namespace, name string
	uid             types.UID
	revision        uint64 // 0: a deletion
	at              time.Time
}

// noteExpiry ends the wait for a write that never shows. Nothing known leads there; it bounds the damage of a defect, as
// upstream's expectations do.
const noteExpiry = 5 * time.Minute

// NewLedger makes an empty ledger.
func NewLedger() *Ledger {
	l := &Ledger{}
	l.mu.notes = map[string][]note{}
	return l
}

// Wrote notes that obj, the hub's answer to a create, update or patch, must show in view before key is worked on again.
func (l *Ledger) Wrote(key string, view View, obj api.Object) {
	rev, err := strconv.ParseUint(obj.GetResourceVersion(), 10, 64)
	if err != nil || rev == 0 {
		return // a dry run, or nothing that a revision could be compared with
	}
	l.add(key, note{view: view, namespace: obj.GetNamespace(), name: obj.GetName(), uid: obj.GetUID(), revision: rev, at: time.Now()})
}

// Deleted notes that obj, as it was in view, has been deleted or marked for it.
func (l *Ledger) Deleted(key string, view View, obj api.Object) {
	l.add(key, note{view: view, namespace: obj.GetNamespace(), name: obj.GetName(), uid: obj.GetUID(), at: time.Now()})
}

func (l *Ledger) add(key string, n note) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n.revision != 0 {
		// A view that shows the newest of several writes shows all: one note stands for them.
		for i := range l.mu.notes[key] {
			if have := &l.mu.notes[key][i]; have.view == n.view && have.revision != 0 {
				if have.revision < n.revision {
					*have = n
				}
				return
			}
		}
	}
	l.mu.notes[key] = append(l.mu.notes[key], n)
}

// Settled reports whether the views show everything that was noted for key.
func (l *Ledger) Settled(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	notes := l.mu.notes[key]
	if len(notes) == 0 {
		return true
	}
	now := time.Now()
	left := notes[:0]
	for _, n := range notes {
		if !n.settled() && now.Sub(n.at) < noteExpiry {
			left = append(left, n)
		}
	}
	if len(left) == 0 {
		delete(l.mu.notes, key)
		return true
	}
	l.mu.notes[key] = left
	return false
}

// Forget drops the notes of a key whose object is gone.
func (l *Ledger) Forget(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.notes, key)
}

func (n *note) settled() bool {
	obj, ok := n.view.Lookup(n.namespace, n.name)
	if n.revision == 0 {
		return !ok || obj.GetUID() != n.uid || obj.GetDeletionTimestamp() != nil
	}
	if reached(n.view.Revision(), n.revision) {
		return true
	}
	return ok && reached(obj.GetResourceVersion(), n.revision)
}

// Reached reports whether a view has got as far as obj: it shows everything that was written before.
func Reached(view View, obj api.Object) bool {
	rev, err := strconv.ParseUint(obj.GetResourceVersion(), 10, 64)
	return err == nil && reached(view.Revision(), rev)
}

func reached(revision string, want uint64) bool {
	have, err := strconv.ParseUint(revision, 10, 64)
	return err == nil && have >= want
}

// ViewOf makes a View of an informer.
func ViewOf[T api.Object](i *cache.Informer[T]) View { return view[T]{i} }

type view[T api.Object] struct{ *cache.Informer[T] }

func (v view[T]) Lookup(namespace, name string) (api.Object, bool) { return v.Get(namespace, name) }
