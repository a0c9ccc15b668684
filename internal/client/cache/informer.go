package cache

import (
	"context"
	"log/slog"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Handler is told of changes, in order, on the informer's goroutine; it must not block. Nil functions are skipped. A
// handler added late first gets every object as an Add (on the informer's goroutine too).
type Handler[T api.Object] struct {
	Add    func(obj T)
	Update func(old, obj T)
	Delete func(obj T) // the last state known
}

// IndexFunc names the values that an object is found under.
type IndexFunc[T api.Object] func(obj T) []string

// Options narrows an informer.
type Options struct {
	Namespace     string
	FieldSelector string
	LabelSelector string
}

// Informer is the local view of one resource.
type Informer[T api.Object] struct {
	// …
}

// New makes an informer; it does nothing until Run.
func New[T api.Object](door client.Reader, res schema.GroupVersionResource, opts Options, log *slog.Logger) *Informer[T] {
	panic("todo")
}

// AddIndex registers an index; call it before Run. A name that is registered already keeps its function: controllers that
// share an informer each ask for the indexes they use.
func (i *Informer[T]) AddIndex(name string, fn IndexFunc[T]) { panic("todo") }

// Handle registers a handler, before or after Run.
func (i *Informer[T]) Handle(h Handler[T]) { panic("todo") }

// Run lists, watches and relists (with backoff and jitter) until ctx ends.
func (i *Informer[T]) Run(ctx context.Context) error { panic("todo") }

// Synced is closed when the first list has been stored and every handler registered before then has been told of it.
func (i *Informer[T]) Synced() <-chan struct{} { panic("todo") }

// Get returns one object. namespace is "" for cluster-scoped kinds.
func (i *Informer[T]) Get(namespace, name string) (T, bool) { panic("todo") }

// List returns the objects of a namespace, or ("") of all, in no order.
func (i *Informer[T]) List(namespace string) []T { panic("todo") }

// ByIndex returns the objects found under value in the named index, in no order.
func (i *Informer[T]) ByIndex(index, value string) []T { panic("todo") }

// Len counts the objects.
func (i *Informer[T]) Len() int { panic("todo") }

// Revision is the resource version the view has reached; it only grows between relists.
func (i *Informer[T]) Revision() string { panic("todo") }

// Set shares informers between components that hold the same door: the first For of a resource makes it, all get the same.
type Set struct {
	// …
}

// NewSet makes an empty set over a door.
func NewSet(door client.Reader, log *slog.Logger) *Set { panic("todo") }

// For returns the set's informer of res with opts. It panics when the same resource is asked for with another T.
func For[T api.Object](s *Set, res schema.GroupVersionResource, opts Options) *Informer[T] {
	panic("todo")
}

// Run runs every informer of the set, those added later too, until ctx ends.
func (s *Set) Run(ctx context.Context) error { panic("todo") }

// WaitSynced blocks until every informer made so far has synced, or ctx ends.
func (s *Set) WaitSynced(ctx context.Context) error { panic("todo") }
