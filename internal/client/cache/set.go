package cache

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Set shares informers between components that hold the same door: the first For of a resource makes it, all get the same.
type Set struct {
	door  client.Reader
	log   *slog.Logger
	added chan struct{} // of one slot: there are informers to start

	mu struct {
		sync.Mutex
		byName map[name]runner
		order  []runner
	}
}

type name struct {
	res  schema.GroupVersionResource
	opts Options
}

// runner is an Informer of any type.
type runner interface {
	Run(context.Context) error
	Synced() <-chan struct{}
}

// NewSet makes an empty set over a door.
func NewSet(door client.Reader, log *slog.Logger) *Set {
	s := &Set{door: door, log: log, added: make(chan struct{}, 1)}
	s.mu.byName = map[name]runner{}
	return s
}

// For returns the set's informer of res with opts. It panics when the same resource is asked for with another T.
func For[T api.Object](s *Set, res schema.GroupVersionResource, opts Options) *Informer[T] {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := name{res, opts}
	if have := s.mu.byName[n]; have != nil {
		i, ok := have.(*Informer[T])
		if !ok {
			panic(fmt.Sprintf("cache: %s is kept as %T, asked for as %T", res.Resource, have, i))
		}
		return i
	}
	i := New[T](s.door, res, opts, s.log)
	s.mu.byName[n] = i
	s.mu.order = append(s.mu.order, i)
	select {
	case s.added <- struct{}{}:
	default:
	}
	return i
}

// informers returns those made so far.
func (s *Set) informers() []runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.order[:len(s.mu.order):len(s.mu.order)]
}

// Run runs every informer of the set, those added later too, until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for started := 0; ; {
		all := s.informers()
		for ; started < len(all); started++ {
			i := all[started]
			wg.Go(func() { i.Run(ctx) }) // returns nil only
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.added:
		}
	}
}

// WaitSynced blocks until every informer made so far has synced, or ctx ends.
func (s *Set) WaitSynced(ctx context.Context) error {
	for _, i := range s.informers() {
		select {
		case <-i.Synced():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
