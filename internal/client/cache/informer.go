package cache

import (
	"log/slog"
	"sync"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Handler is notified of changes to the objects of an informer.
//
// The informer's goroutine calls it, in the order of the changes, so it must not block. Nil functions are skipped.
// When several changes arrive together the view takes all of them in first, and is then ahead of the notifications.
// A handler that is added to a running informer first gets an Add for every object there is. An object that was deleted and
// made again under the same name between two looks of the informer comes as a Delete and an Add, never as an Update.
type Handler[T api.Object] struct {
	Add    func(obj T)
	Update func(old, obj T)
	Delete func(obj T) // the last state known
	Told   func()      // handler sync: called once, after the Adds of all objects there were; of a handler added before the first list there are none
}

// IndexFunc names the values that an object is found under.
type IndexFunc[T api.Object] func(obj T) []string

// Options narrows an informer.
type Options struct {
	Namespace     string
	FieldSelector string
	LabelSelector string
	Metadata      bool // see client.Ref; for informers of api.Object
}

// Informer is the local view of one resource.
type Informer[T api.Object] struct {
	door client.Reader
	ref  client.Ref
	opts Options
	log  *slog.Logger

	synced chan struct{}
	late   chan struct{} // of one slot: there are pending handlers

	mu struct {
		sync.RWMutex
		store    store[T]
		revision string
		told     string       // see Told
		pending  []Handler[T] // not yet told of what there is
	}
	handlers []Handler[T] // of the goroutine of Run
}

// New makes an informer; it does nothing until Run.
func New[T api.Object](door client.Reader, res schema.GroupVersionResource, opts Options, log *slog.Logger) *Informer[T] {
	i := &Informer[T]{
		door:   door,
		ref:    client.Ref{Resource: res, Namespace: opts.Namespace, Metadata: opts.Metadata},
		opts:   opts,
		log:    log.With("component", "informer", "resource", res.Resource),
		synced: make(chan struct{}),
		late:   make(chan struct{}, 1),
	}
	i.mu.store = newStore[T]()
	return i
}

// AddIndex registers an index; call it before Run. An index that is there already stays: whoever shares an informer may
// register what it needs, under a name that says what it indexes.
func (i *Informer[T]) AddIndex(name string, fn IndexFunc[T]) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.store.addIndex(name, fn)
}

// Handle registers a handler, before or after Run.
func (i *Informer[T]) Handle(h Handler[T]) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.pending = append(i.mu.pending, h)
	select {
	case i.late <- struct{}{}:
	default:
	}
}

// Synced is closed when the first list has been stored and every handler registered before then has been told of it.
func (i *Informer[T]) Synced() <-chan struct{} { return i.synced }

// Get returns one object. namespace is "" for cluster-scoped kinds.
func (i *Informer[T]) Get(namespace, name string) (T, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.mu.store.get(key{namespace, name})
}

// List returns the objects of a namespace, or ("") of all, in no order.
func (i *Informer[T]) List(namespace string) []T {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.mu.store.list(namespace)
}

// ByIndex returns the objects found under value in the named index, in no order.
func (i *Informer[T]) ByIndex(index, value string) []T {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.mu.store.byIndex(index, value)
}

// Len counts the objects.
func (i *Informer[T]) Len() int {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.mu.store.count
}

// Told is the resource version up to which the handlers have been told; the view may be ahead of it.
func (i *Informer[T]) Told() string {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.mu.told
}

// toldAll notes that the handlers know all that is in the view.
func (i *Informer[T]) toldAll() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.mu.told = i.mu.revision
}

// Revision is the resource version the view has reached; it only grows between relists.
func (i *Informer[T]) Revision() string {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.mu.revision
}

// greet tells the handlers that came since of all there is, and counts them among the others. Only the goroutine of Run
// changes the store, so what it reads here is what the handlers so far have been told.
func (i *Informer[T]) greet() {
	i.mu.Lock()
	pending := i.mu.pending
	i.mu.pending = nil
	var all []T
	if len(pending) > 0 {
		all = i.mu.store.list("")
	}
	i.mu.Unlock()
	for _, h := range pending {
		for _, obj := range all {
			if h.Add != nil {
				h.Add(obj)
			}
		}
		if h.Told != nil {
			h.Told()
		}
	}
	i.handlers = append(i.handlers, pending...)
}

// told tells the handlers that obj has taken the place of old, if had.
func (i *Informer[T]) told(old T, had bool, obj T) {
	if had && old.GetUID() != obj.GetUID() {
		i.gone(old)
		had = false
	}
	for _, h := range i.handlers {
		switch {
		case !had && h.Add != nil:
			h.Add(obj)
		case had && h.Update != nil:
			h.Update(old, obj)
		}
	}
}

// gone tells the handlers of the last state, which the deletion carried.
func (i *Informer[T]) gone(obj T) {
	for _, h := range i.handlers {
		if h.Delete != nil {
			h.Delete(obj)
		}
	}
}

// replace makes the view what a list said, and tells the handlers of the difference.
func (i *Informer[T]) replace(items []T, rv string) {
	var changes []change[T]
	var lost []T
	i.mu.Lock()
	seen := make(map[key]struct{}, len(items))
	for _, obj := range items {
		seen[keyOf(obj)] = struct{}{}
		old, had := i.mu.store.get(keyOf(obj))
		if had && old.GetUID() == obj.GetUID() && old.GetResourceVersion() == obj.GetResourceVersion() {
			continue
		}
		i.mu.store.set(obj)
		changes = append(changes, change[T]{old: old, obj: obj, had: had})
	}
	for _, old := range i.mu.store.list("") {
		if _, ok := seen[keyOf(old)]; !ok {
			i.mu.store.remove(keyOf(old))
			lost = append(lost, old)
		}
	}
	i.mu.revision = rv
	i.mu.Unlock()
	for _, old := range lost {
		i.gone(old)
	}
	for _, c := range changes {
		i.told(c.old, c.had, c.obj)
	}
	i.toldAll()
}
