package sealed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"sampan.dev/internal/hub/store"
)

// Sealer encrypts and decrypts the values of one kind. It is safe for concurrent use.
type Sealer interface {
	// On reports whether values are looked at; when it is false, they pass as they are.
	On() bool
	// Seal returns what is to be stored for value. key is the key in the store, which the ciphertext may be bound to.
	Seal(ctx context.Context, key string, value []byte) ([]byte, error)
	// Open returns the value of what is stored. stale says that it would be stored otherwise now. An error that is
	// store.ErrUnready will pass; any other is about this value.
	Open(ctx context.Context, key string, stored []byte) (value []byte, stale bool, err error)
	// Changed is closed when Open may come to another answer than before the call.
	Changed() <-chan struct{}
}

// Store is a store of sealed values.
type Store struct {
	below  store.Store
	sealer Sealer
	failed atomic.Bool // some value could not be opened: what a reader holds may lack it
}

var (
	_ store.Scanner = (*Store)(nil)
	_ store.Gauge   = (*Store)(nil)
)

// New puts a sealer in front of a store.
func New(below store.Store, sealer Sealer) *Store { return &Store{below: below, sealer: sealer} }

// open puts the value in place of what is stored, or the reason why there is none. It fails only when a later attempt may succeed.
func (s *Store) open(ctx context.Context, kv *store.KV) error {
	if kv.Err != nil || kv.Value == nil {
		return nil
	}
	value, _, err := s.sealer.Open(ctx, kv.Key, kv.Value)
	if errors.Is(err, store.ErrUnready) {
		return fmt.Errorf("%s: %w", kv.Key, err)
	}
	if err != nil {
		s.failed.Store(true)
		kv.Value, kv.Err = nil, err
		return nil
	}
	kv.Value = value
	return nil
}

func (s *Store) openAll(ctx context.Context, kvs []store.KV) error {
	for i := range kvs {
		if err := s.open(ctx, &kvs[i]); err != nil {
			return err
		}
	}
	return nil
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.KV, int64, error) {
	kv, revision, err := s.below.Get(ctx, key)
	if err == nil && s.sealer.On() {
		if err = s.open(ctx, &kv); err == nil {
			err = kv.Err
		}
	}
	return kv, revision, err
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, p store.Page) (store.Listing, error) {
	l, err := s.below.List(ctx, p)
	if err == nil && s.sealer.On() {
		err = s.openAll(ctx, l.KVs)
	}
	return l, err
}

// Scan implements store.Scanner. Values that were sealed are the caller's.
func (s *Store) Scan(ctx context.Context, prefix string, fn func([]store.KV) error) (int64, error) {
	if !s.sealer.On() {
		return store.Scan(ctx, s.below, prefix, fn)
	}
	s.failed.Store(false)
	return store.Scan(ctx, s.below, prefix, func(kvs []store.KV) error {
		if err := s.openAll(ctx, kvs); err != nil {
			return err
		}
		return fn(kvs)
	})
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, key string, value []byte, ttlSeconds int64) (int64, error) {
	value, err := s.seal(ctx, key, value)
	if err != nil {
		return 0, err
	}
	return s.below.Create(ctx, key, value, ttlSeconds)
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, key string, value []byte, expect, ttlSeconds int64) (int64, error) {
	value, err := s.seal(ctx, key, value)
	if err != nil {
		return 0, err
	}
	revision, err := s.below.Update(ctx, key, value, expect, ttlSeconds)
	return revision, s.conflict(ctx, err)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string, expect int64) (int64, error) {
	revision, err := s.below.Delete(ctx, key, expect)
	return revision, s.conflict(ctx, err)
}

func (s *Store) seal(ctx context.Context, key string, value []byte) ([]byte, error) {
	if !s.sealer.On() {
		return value, nil
	}
	return s.sealer.Seal(ctx, key, value)
}

// conflict opens what stood in the way of a write.
func (s *Store) conflict(ctx context.Context, err error) error {
	var c *store.ConflictError
	if !errors.As(err, &c) || c.Current == nil || !s.sealer.On() {
		return err
	}
	now := *c.Current
	if failed := s.open(ctx, &now); failed != nil {
		now.Value, now.Err = nil, failed
	}
	return &store.ConflictError{Key: c.Key, Current: &now}
}

// Stale reports whether the value at key would be stored otherwise if it were written now: a write of the same value then changes
// what is stored.
func (s *Store) Stale(ctx context.Context, key string) bool {
	if !s.sealer.On() {
		return false
	}
	kv, _, err := s.below.Get(ctx, key)
	if err != nil {
		return false
	}
	_, stale, err := s.sealer.Open(ctx, key, kv.Value)
	return err == nil && stale
}

// Watch implements store.Store. When values that could not be opened may be opened now, history is lost: who watches reads anew.
func (s *Store) Watch(ctx context.Context, prefix string, after int64, fn func([]store.Event) error) error {
	changed := s.sealer.Changed()
	if changed == nil {
		return s.below.Watch(ctx, prefix, after, s.opening(ctx, fn))
	}
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
			if changed = s.sealer.Changed(); s.failed.Load() {
				end(errReread)
			}
		}
	}()
	err := s.below.Watch(ctx, prefix, after, s.opening(ctx, fn))
	if context.Cause(ctx) == errReread {
		return errReread
	}
	return err
}

var errReread = fmt.Errorf("the keys of values that could not be read have changed: %w", store.ErrCompacted)

// opening is fn for events whose values are sealed.
func (s *Store) opening(ctx context.Context, fn func([]store.Event) error) func([]store.Event) error {
	return func(events []store.Event) error {
		if !s.sealer.On() {
			return fn(events)
		}
		opened := slices.Clone(events) // those of the store below may go to others too
		for i := range opened {
			if err := s.open(ctx, &opened[i].KV); err != nil {
				return err
			}
		}
		return fn(opened)
	}
}

// RequestProgress implements store.Store.
func (s *Store) RequestProgress(ctx context.Context, prefix string) error {
	return s.below.RequestProgress(ctx, prefix)
}

// Revision implements store.Store.
func (s *Store) Revision(ctx context.Context, prefix string) (int64, error) {
	return s.below.Revision(ctx, prefix)
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	return s.below.Compact(ctx, revision)
}

// Writable implements store.Gauge.
func (s *Store) Writable() error { return store.Writable(s.below) }

// Close closes the store below.
func (s *Store) Close() error { return s.below.Close() }

// Sole implements store.Sole.
func (s *Store) Sole() bool { return store.IsSole(s.below) }
