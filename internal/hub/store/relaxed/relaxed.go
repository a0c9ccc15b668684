package relaxed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
)

// How long a change may be in memory alone.
const (
	// FlushEvery is for changes that last but need not have lasted when the write returns.
	FlushEvery = time.Second
	// IdleFlush is for changes of nothing that must last. Each flush costs etcd some 40 KB of disk writes.
	IdleFlush = 15 * time.Minute
	// joinAfter is from when on they go along with a flush that is made anyway.
	joinAfter = IdleFlush / 3
)

// The mark is a revision, kept in the store behind, that is higher than any used so far: a process that starts after a crash
// counts on from it, so that no revision is used twice.
//
// It is raised by step (revisions) when less than three quarters of a step are left below it. While less than half a step is
// left, writes wait for it. Expiries of keys cannot wait; the other half is theirs.
const (
	markKey = "/sampan/relaxed/revision"
	step    = 1 << 20
)

// keepChanges bounds the history that is held in memory between compactions.
const keepChanges = 50_000

// maxValue is a little less than what etcd takes, which counts the key as well.
const maxValue = 1536*1024 - 4096

// Prefix is a part of the key space that is kept here.
type Prefix struct {
	Path string // "/registry/events/"
	// TTLSeconds is the time to live of keys that are found at start; zero is for ever.
	TTLSeconds int64
	// Lasting returns a digest of what must last of a value; nil when nothing must.
	Lasting func(value []byte) uint64
}

// Config says what is kept in front of what.
type Config struct {
	Back     store.Batcher // Close leaves it open
	Prefixes []Prefix
	// Durable makes every write wait until the store behind has it. It is for those who want no part in this any more but
	// have used it: the revisions must go on.
	Durable bool
	Log     *slog.Logger
}

// Store implements store.Store by write-behind: image answers every read and takes every write; what must last goes to
// cfg.Back later, in batches.
//
// Invariant: a change that cfg.Back does not have is in waiting, in flying or in resting. Revisions stay below mark. One
// goroutine (run, ended by stop) writes batches; callers add to them under mu.
type Store struct {
	cfg   Config
	log   *slog.Logger
	image *memory.Store
	mark  atomic.Int64 // persisted
	kick  chan struct{}
	ended chan struct{}
	stop  context.CancelFunc

	mu struct {
		sync.Mutex
		rev     int64 // newest change
		waiting *batch
		flying  *batch                 // being written; nil when nothing is
		resting map[string]store.Write // changes that can wait, of keys without one in waiting
		rested  time.Time              // since when there have been some
		lasting map[string]uint64      // of the prefixes with Lasting: what the store behind has, or will when batches are written
		failing time.Time              // since when the store behind takes nothing; zero when it does
		err     error                  // why
		raised  chan struct{}          // closed when mark grows
	}
}

var _ store.Store = (*Store)(nil)

// urgency is how soon a change must be in the store behind.
type urgency uint8

const (
	idle urgency = iota
	soon
	now
)

// change is what the store behind does not know of one key.
type change struct {
	store.Write
	urgency urgency
}

// batch is changes that are written together.
type batch struct {
	changes map[string]change
	urgency urgency   // of the most urgent
	since   time.Time // of the first
	done    chan struct{}
}

func newBatch() *batch { return &batch{changes: map[string]change{}, done: make(chan struct{})} }

// Used tells whether back has revisions that were counted by a Store of this package.
func Used(ctx context.Context, back store.Store) (bool, error) {
	mark, err := readMark(ctx, back)
	return mark > 0, err
}

// Open reads what back has below the prefixes.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	s := &Store{cfg: cfg, log: cfg.Log.With("component", "relaxed"), kick: make(chan struct{}, 1), ended: make(chan struct{})}
	s.mu.waiting, s.mu.resting = newBatch(), map[string]store.Write{}
	s.mu.lasting = map[string]uint64{}
	s.mu.raised = make(chan struct{})
	mark, err := readMark(ctx, cfg.Back)
	if err != nil {
		return nil, err
	}
	rev, err := cfg.Back.Revision(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("open the relaxed store: %w", err)
	}
	image := memory.Config{Revision: rev, Changed: s.changed}
	if mark > 0 || rev > 1 { // else nothing has ever been
		if image.Keys, err = s.load(ctx); err != nil {
			return nil, err
		}
		image.Revision, image.Past = max(mark, rev)+max(1, int64(len(image.Keys))), true
	}
	s.mu.rev = image.Revision
	s.image = memory.NewWith(image)
	if err := s.setMark(ctx, image.Revision+step); err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	s.stop = stop
	go s.run(running)
	return s, nil
}

func readMark(ctx context.Context, back store.Store) (int64, error) {
	kv, _, err := back.Get(ctx, markKey)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("revision of the relaxed store: %w", err)
	}
	mark, err := strconv.ParseInt(string(kv.Value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("revision of the relaxed store: %s holds %q: %w", markKey, kv.Value, err)
	}
	return mark, nil
}

// load lists the prefixes.
func (s *Store) load(ctx context.Context) ([]store.Write, error) {
	var out []store.Write
	for _, p := range s.cfg.Prefixes {
		_, err := store.Scan(ctx, s.cfg.Back, p.Path, func(kvs []store.KV) error {
			for _, kv := range kvs {
				if kv.Err != nil {
					s.log.Error("what cannot be read is left out", "key", kv.Key, "revision", kv.Revision, "error", kv.Err)
					continue
				}
				if p.Lasting != nil {
					s.mu.lasting[kv.Key] = p.Lasting(kv.Value)
				}
				out = append(out, store.Write{Key: kv.Key, Value: bytes.Clone(kv.Value), TTLSeconds: p.TTLSeconds})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("open the relaxed store: %w", err)
		}
	}
	return out, nil
}

// Prefixes are the parts of the key space that it keeps.
func (s *Store) Prefixes() []string {
	out := make([]string, len(s.cfg.Prefixes))
	for i, p := range s.cfg.Prefixes {
		out[i] = p.Path
	}
	return out
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.KV, int64, error) {
	return s.image.Get(ctx, key)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, p store.Page) (store.Listing, error) {
	return s.image.List(ctx, p)
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, key string, value []byte, ttlSeconds int64) (int64, error) {
	if err := s.admit(ctx, "create", key, value); err != nil {
		return 0, err
	}
	if err := s.room(ctx, "create", key, value); err != nil {
		return 0, err
	}
	rev, err := s.image.Create(ctx, key, value, ttlSeconds)
	if err != nil {
		return 0, err
	}
	return rev, s.settle(ctx, key)
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, key string, value []byte, expect, ttlSeconds int64) (int64, error) {
	if err := s.admit(ctx, "update", key, value); err != nil {
		return 0, err
	}
	if err := s.room(ctx, "update", key, value); err != nil {
		return 0, err
	}
	rev, err := s.image.Update(ctx, key, value, expect, ttlSeconds)
	if err != nil {
		return 0, err
	}
	return rev, s.settle(ctx, key)
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string, expect int64) (int64, error) {
	if err := s.admit(ctx, "delete", key, nil); err != nil {
		return 0, err
	}
	rev, err := s.image.Delete(ctx, key, expect)
	if err != nil {
		return 0, err
	}
	return rev, s.settle(ctx, key)
}

// Watch implements store.Store.
func (s *Store) Watch(ctx context.Context, prefix string, after int64, fn func([]store.Event) error) error {
	return s.image.Watch(ctx, prefix, after, fn)
}

// RequestProgress implements store.Store.
func (s *Store) RequestProgress(ctx context.Context, prefix string) error {
	return s.image.RequestProgress(ctx, prefix)
}

// Revision implements store.Store.
func (s *Store) Revision(ctx context.Context, prefix string) (int64, error) {
	return s.image.Revision(ctx, prefix)
}

// Compact implements store.Store. It is about the image: the store behind is compacted by who owns it.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	return s.image.Compact(ctx, revision)
}

// admit refuses what the store behind would not take, and waits while the revisions that may be used run out.
func (s *Store) admit(ctx context.Context, verb, key string, value []byte) error {
	if len(value) > maxValue-len(key) {
		return fmt.Errorf("%s %s: %d bytes: %w", verb, key, len(value), store.ErrTooLarge)
	}
	for {
		s.mu.Lock()
		raised, rev := s.mu.raised, s.mu.rev
		s.mu.Unlock()
		if rev < s.mark.Load()-step/2 {
			return nil
		}
		select {
		case <-raised:
		case <-s.ended:
			return fmt.Errorf("%s %s: %w", verb, key, store.ErrUnready)
		case <-ctx.Done():
			return fmt.Errorf("%s %s: wait for revisions: %w", verb, key, ctx.Err())
		}
	}
}

// room refuses a value that the store behind has no room for: to answer as if it were written would be a promise that nobody
// keeps. A change of nothing that must last, such as the renewal of a lease, is taken: it takes no more room than what is
// there, and nodes must not be lost for want of it.
func (s *Store) room(ctx context.Context, verb, key string, value []byte) error {
	err := store.Writable(s.cfg.Back)
	if err == nil || store.IsVital(ctx) {
		return nil
	}
	if p := s.prefix(key); p.Lasting != nil && !s.cfg.Durable {
		s.mu.Lock()
		before, had := s.mu.lasting[key]
		s.mu.Unlock()
		if had && before == p.Lasting(value) {
			return nil
		}
	}
	return fmt.Errorf("%s %s: %w", verb, key, err)
}

// changed is told of every change by the image, in order and under its lock.
func (s *Store) changed(c memory.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.rev = c.Revision
	w := s.mu.waiting
	u := s.urgencyLocked(c)
	have, ok := w.changes[c.Key]
	switch {
	case u == idle && !ok:
		if len(s.mu.resting) == 0 {
			s.mu.rested = time.Now()
		}
		s.mu.resting[c.Key] = c.Write
	default:
		delete(s.mu.resting, c.Key)
		if len(w.changes) == 0 {
			w.since = time.Now()
		}
		w.changes[c.Key] = change{c.Write, max(u, have.urgency)}
	}
	if u > w.urgency {
		w.urgency = u
		s.poke()
	}
	if c.Revision >= s.mark.Load()-3*step/4 || c.Revision%(keepChanges/2) == 0 {
		s.poke()
	}
}

// urgencyLocked tells how soon a change must be written, and notes what will last of the key.
func (s *Store) urgencyLocked(c memory.Change) urgency {
	p := s.prefix(c.Key)
	gone := c.Value == nil
	if p.Lasting != nil {
		before, had := s.mu.lasting[c.Key]
		switch {
		case gone:
			delete(s.mu.lasting, c.Key)
		default:
			digest := p.Lasting(c.Value)
			if had && digest == before && !s.cfg.Durable {
				return idle
			}
			s.mu.lasting[c.Key] = digest
		}
	}
	switch {
	case c.Expired:
		return idle // the store behind counts time too
	case p.Lasting != nil || s.cfg.Durable:
		return now
	}
	return soon
}

func (s *Store) prefix(key string) Prefix {
	for _, p := range s.cfg.Prefixes {
		if strings.HasPrefix(key, p.Path) {
			return p
		}
	}
	return Prefix{}
}

func (s *Store) poke() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// settle waits until the last change of key has been written, if it is one that must.
func (s *Store) settle(ctx context.Context, key string) error {
	s.mu.Lock()
	var done chan struct{}
	for _, b := range []*batch{s.mu.waiting, s.mu.flying} {
		if b == nil || done != nil {
			continue
		}
		if b.changes[key].urgency == now {
			done = b.done
		}
	}
	s.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-s.ended:
		select {
		case <-done:
			return nil
		default:
		}
		return fmt.Errorf("write %s: %w: not written when the store was closed", key, store.ErrUnready)
	case <-ctx.Done():
		return fmt.Errorf("write %s: %w", key, ctx.Err())
	}
}

// Sole implements store.Sole.
func (s *Store) Sole() bool { return true }
