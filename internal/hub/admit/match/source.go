package match

import (
	"context"
	"slices"
	"sync/atomic"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Objects are what a value is made of: the objects of each of a source's kinds, in the order of their names. Each of the two is nil
// or has a list for each kind.
type Objects struct {
	Static [][]api.Object // of the server's own files; what is made of these comes first, and is asked about configurations too
	Served [][]api.Object // of the API
}

// Source holds what is made of the objects of a few kinds. It is made when a write needs it and something has been told since the
// last time. A zero state says that nothing is configured.
//
// now is the fast path: nil when nothing is configured. Otherwise it leads to what was made, or to a state that is stale. Told puts
// a stale state there, and whoever makes anew replaces exactly the one that it began with: what is told meanwhile is not lost.
type Source[T any] struct {
	door   client.Reader
	static func() [][]api.Object // nil: the server has no files
	kinds  []schema.GroupVersionResource
	make   func(Objects) *T
	now    atomic.Pointer[state[T]]
	turn   chan struct{} // of one element: full while it is made, so that it is made once; who waits goes when its time is over
}

type state[T any] struct {
	value *T
	stale bool
}

// NewSource makes a source. static returns the objects of the server's own files, by kind; nil for a server without any. from makes
// the value of the objects; nil when there is nothing to ask anybody about.
func NewSource[T any](door client.Reader, static func() [][]api.Object, from func(Objects) *T, kinds ...schema.GroupVersionResource) *Source[T] {
	s := &Source[T]{door: door, static: static, kinds: kinds, make: from, turn: make(chan struct{}, 1)}
	s.Told()
	return s
}

// Told says that an object of one of the kinds has been written, or that the files say something else.
func (s *Source[T]) Told() { s.now.Store(&state[T]{stale: true}) }

// Get returns the value; nil when nothing is configured.
func (s *Source[T]) Get(ctx context.Context) (*T, error) {
	now := s.now.Load()
	if now == nil {
		return nil, nil
	}
	if !now.stale {
		return now.value, nil
	}
	return s.remake(ctx)
}

func (s *Source[T]) remake(ctx context.Context) (*T, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, apierrors.NewTimeoutError("request did not complete within the allowed duration", 0)
	}
	for {
		began := s.now.Load()
		if began == nil {
			return nil, nil
		}
		if !began.stale {
			return began.value, nil
		}
		all := Objects{Served: make([][]api.Object, len(s.kinds))}
		if s.static != nil {
			all.Static = s.static()
		}
		found := slices.ContainsFunc(all.Static, func(l []api.Object) bool { return len(l) > 0 })
		for i, res := range s.kinds {
			l, err := s.door.List(ctx, client.Ref{Resource: res}, metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				continue // a hub that does not serve the kind
			}
			if err != nil {
				return nil, err
			}
			all.Served[i] = l.Items
			found = found || len(l.Items) > 0
		}
		var next *state[T]
		if found {
			if v := s.make(all); v != nil {
				next = &state[T]{value: v}
			}
		}
		if !s.now.CompareAndSwap(began, next) {
			continue
		}
		if next == nil {
			return nil, nil
		}
		return next.value, nil
	}
}
