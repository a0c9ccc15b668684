package memory

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/hub/store"

	"github.com/google/btree"
)

// maxValue is the largest value taken, in bytes: etcd's default request limit.
const maxValue = 1536 * 1024

// version is what a key held from one revision on; a deletion has deleted set.
type version struct {
	value   []byte
	rev     int64
	create  int64
	deleted bool
}

// item is a key with its versions since the last compaction, oldest first, never empty.
type item struct {
	key      string
	versions []version
}

// at returns the version in force at rev, or nil when the key was not there.
func (it *item) at(rev int64) *version {
	i, found := slices.BinarySearchFunc(it.versions, rev, func(v version, rev int64) int { return int(v.rev - rev) })
	if !found {
		i--
	}
	if i < 0 || it.versions[i].deleted {
		return nil
	}
	return &it.versions[i]
}

func (it *item) kv(v *version) store.KV {
	return store.KV{Key: it.key, Value: v.value, Revision: v.rev, CreateRevision: v.create}
}

// Store keeps everything in memory. Make it with New.
type Store struct {
	changed func(Change) // nil when nobody listens

	mu struct {
		sync.Mutex
		tree      *btree.BTreeG[*item]
		log       []store.Event // changes after compacted, in order
		rev       int64
		compacted int64 // history up to and including it is gone
		watchers  map[*watcher]struct{}
		leases    map[string]*time.Timer // keys with a time to live
		closed    bool
	}
}

var _ store.Batcher = (*Store)(nil)

// Config is what a store begins with, and who is told what becomes of it.
type Config struct {
	// Revision is where it begins; zero means 1, as an empty etcd does. What is in Keys was written just before, one after
	// another, the last at Revision: who holds objects relies on it that no two have the same.
	Revision int64
	Keys     []store.Write
	// Past tells that there was a history before Revision, which is not known.
	Past bool
	// Changed is called with every change, in order, while the store is locked: it must be quick and not come back.
	Changed func(Change)
}

// Change is one change of a key.
type Change struct {
	store.Write
	Revision int64
	Expired  bool // the time to live has run out
}

// New makes an empty store at revision 1, as an empty etcd is.
func New() *Store { return NewWith(Config{}) }

// NewWith makes a store that is not empty.
func NewWith(cfg Config) *Store {
	s := &Store{}
	s.mu.tree = btree.NewG(32, func(a, b *item) bool { return a.key < b.key })
	s.mu.rev = max(cfg.Revision, 1)
	s.mu.watchers = map[*watcher]struct{}{}
	s.mu.leases = map[string]*time.Timer{}
	if cfg.Past {
		s.mu.compacted = s.mu.rev
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, w := range cfg.Keys {
		rev := s.mu.rev - int64(len(cfg.Keys)-1-i)
		s.appendLocked(w.Key, version{value: w.Value, rev: rev, create: rev})
		s.leaseLocked(w.Key, w.TTLSeconds)
	}
	if cfg.Past {
		s.mu.log = nil
	}
	s.changed = cfg.Changed
	return s
}

// Sole implements store.Sole.
func (s *Store) Sole() bool { return true }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.KV, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return store.KV{}, 0, store.ErrUnready
	}
	if it, v := s.currentLocked(key); v != nil {
		return it.kv(v), s.mu.rev, nil
	}
	return store.KV{}, s.mu.rev, fmt.Errorf("get %s: %w", key, store.ErrNotFound)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, p store.Page) (store.Listing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return store.Listing{}, store.ErrUnready
	}
	rev := p.Revision
	switch {
	case rev == 0:
		rev = s.mu.rev
	case rev > s.mu.rev:
		return store.Listing{}, fmt.Errorf("list %s at %d: %w", p.Prefix, rev, store.ErrFuture)
	case rev < s.mu.compacted:
		return store.Listing{}, fmt.Errorf("list %s at %d: %w", p.Prefix, rev, store.ErrCompacted)
	}
	out := store.Listing{Revision: rev}
	s.mu.tree.AscendGreaterOrEqual(&item{key: max(p.Prefix, p.From)}, func(it *item) bool {
		if !strings.HasPrefix(it.key, p.Prefix) {
			return false
		}
		if v := it.at(rev); v != nil {
			out.Count++
			if p.Limit == 0 || len(out.KVs) < p.Limit {
				out.KVs = append(out.KVs, it.kv(v))
			} else {
				out.More = true
			}
		}
		return true
	})
	return out, nil
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, key string, value []byte, ttlSeconds int64) (int64, error) {
	if len(value) > maxValue {
		return 0, fmt.Errorf("create %s: %d bytes: %w", key, len(value), store.ErrTooLarge)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return 0, store.ErrUnready
	}
	if _, v := s.currentLocked(key); v != nil {
		return 0, fmt.Errorf("create %s: %w", key, store.ErrExists)
	}
	s.putLocked(key, value, s.mu.rev+1, ttlSeconds)
	return s.mu.rev, nil
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, key string, value []byte, expect, ttlSeconds int64) (int64, error) {
	if len(value) > maxValue {
		return 0, fmt.Errorf("update %s: %d bytes: %w", key, len(value), store.ErrTooLarge)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, err := s.expectLocked(key, expect)
	if err != nil {
		return 0, err
	}
	s.putLocked(key, value, v.create, ttlSeconds)
	return s.mu.rev, nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string, expect int64) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.expectLocked(key, expect); err != nil {
		return 0, err
	}
	s.deleteLocked(key, false)
	return s.mu.rev, nil
}

// Apply implements store.Batcher. Each change has a revision of its own.
func (s *Store) Apply(ctx context.Context, writes []store.Write) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return store.ErrUnready
	}
	for _, w := range writes {
		_, v := s.currentLocked(w.Key)
		switch {
		case w.Value == nil && v != nil:
			s.deleteLocked(w.Key, false)
		case w.Value != nil && v != nil:
			s.putLocked(w.Key, w.Value, v.create, w.TTLSeconds)
		case w.Value != nil:
			s.putLocked(w.Key, w.Value, s.mu.rev+1, w.TTLSeconds)
		}
	}
	return nil
}

// RequestProgress implements store.Store.
func (s *Store) RequestProgress(ctx context.Context, prefix string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.mu.watchers {
		if w.prefix == prefix {
			w.progress = true
			w.poke()
		}
	}
	return nil
}

// Revision implements store.Store.
func (s *Store) Revision(_ context.Context, _ string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return 0, store.ErrUnready
	}
	return s.mu.rev, nil
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case revision > s.mu.rev:
		return fmt.Errorf("compact at %d: %w", revision, store.ErrFuture)
	case revision <= s.mu.compacted:
		return fmt.Errorf("compact at %d: %w", revision, store.ErrCompacted)
	}
	// A watch that has nothing to deliver up to revision loses nothing, however far back it stands.
	for w := range s.mu.watchers {
		if w.after < revision && s.firstLocked(w.prefix, w.after) > revision {
			w.after = revision
		}
	}
	n, _ := slices.BinarySearchFunc(s.mu.log, revision+1, func(e store.Event, rev int64) int { return int(e.Revision - rev) })
	for _, e := range s.mu.log[:n] {
		s.trimLocked(e.Key, revision)
	}
	s.mu.log = slices.Clone(s.mu.log[n:])
	s.mu.compacted = revision
	return nil
}

// History is how many changes are remembered.
func (s *Store) History() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.mu.log)
}

// Close implements store.Store. Watches that still run return ErrUnready.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.closed = true
	for _, t := range s.mu.leases {
		t.Stop()
	}
	for w := range s.mu.watchers {
		w.poke()
	}
	return nil
}

func (s *Store) currentLocked(key string) (*item, *version) {
	it, ok := s.mu.tree.Get(&item{key: key})
	if !ok {
		return nil, nil
	}
	return it, it.at(s.mu.rev)
}

func (s *Store) expectLocked(key string, expect int64) (*version, error) {
	if s.mu.closed {
		return nil, store.ErrUnready
	}
	it, v := s.currentLocked(key)
	if v == nil {
		return nil, &store.ConflictError{Key: key}
	}
	if v.rev != expect {
		kv := it.kv(v)
		return nil, &store.ConflictError{Key: key, Current: &kv}
	}
	return v, nil
}

func (s *Store) putLocked(key string, value []byte, create, ttlSeconds int64) {
	s.mu.rev++
	if value == nil {
		value = []byte{} // nil is for deletions
	}
	s.appendLocked(key, version{value: value, rev: s.mu.rev, create: create})
	s.leaseLocked(key, ttlSeconds)
	if s.changed != nil {
		s.changed(Change{Write: store.Write{Key: key, Value: value, TTLSeconds: ttlSeconds}, Revision: s.mu.rev})
	}
}

func (s *Store) deleteLocked(key string, expired bool) {
	s.mu.rev++
	s.appendLocked(key, version{rev: s.mu.rev, deleted: true})
	s.leaseLocked(key, 0)
	if s.changed != nil {
		s.changed(Change{Write: store.Write{Key: key}, Revision: s.mu.rev, Expired: expired})
	}
}

// appendLocked adds a version and tells the watches. Versions are only ever appended, in place: what a reader copied out
// of an item stays as it was.
func (s *Store) appendLocked(key string, v version) {
	it, ok := s.mu.tree.Get(&item{key: key})
	if !ok {
		it = &item{key: key}
		s.mu.tree.ReplaceOrInsert(it)
	}
	it.versions = append(it.versions, v)
	s.mu.log = append(s.mu.log, store.Event{
		KV:      store.KV{Key: key, Value: v.value, Revision: v.rev, CreateRevision: v.create},
		Deleted: v.deleted,
		Created: !v.deleted && v.create == v.rev,
	})
	for w := range s.mu.watchers {
		if strings.HasPrefix(key, w.prefix) {
			w.poke()
		}
	}
}

// trimLocked forgets the versions of key that nobody at or after revision can see.
func (s *Store) trimLocked(key string, revision int64) {
	it, ok := s.mu.tree.Get(&item{key: key})
	if !ok {
		return
	}
	keep := 0
	for keep+1 < len(it.versions) && it.versions[keep+1].rev <= revision {
		keep++
	}
	if it.versions[keep].deleted && it.versions[keep].rev <= revision {
		keep++
	}
	switch keep {
	case 0:
		return // an earlier change of the key has had it trimmed
	case len(it.versions):
		s.mu.tree.Delete(it)
		return
	}
	it.versions = slices.Clone(it.versions[keep:])
}

// leaseLocked makes key vanish after ttlSeconds, or for 0 stay.
func (s *Store) leaseLocked(key string, ttlSeconds int64) {
	if t := s.mu.leases[key]; t != nil {
		t.Stop()
		delete(s.mu.leases, key)
	}
	if ttlSeconds <= 0 {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(time.Duration(ttlSeconds)*time.Second, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.mu.leases[key] == t && !s.mu.closed {
			s.deleteLocked(key, true)
		}
	})
	s.mu.leases[key] = t
}
