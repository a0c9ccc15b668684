package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"sampan.dev/internal/hub/store"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// session is how the Store reaches etcd: an external cluster, or one life of the embedded member.
type session struct {
	c      *clientv3.Client
	leases leases
	member *member         // nil for an external cluster
	over   context.Context // ends when nothing more will come of it
}

func newSession(c *clientv3.Client, m *member, over context.Context) *session {
	return &session{c: c, leases: leases{c: c}, member: m, over: over}
}

// err says why an embedded member has failed.
func (ses *session) err() error {
	if ses.member == nil {
		return nil
	}
	if err := ses.member.fate.err(); err != nil {
		return fmt.Errorf("%w: the store has failed and will be opened again: %w", store.ErrUnready, err)
	}
	return nil
}

// reading are the options of reads. A lone member applies before it answers, so that what it has at hand is what has been
// acknowledged, and it need not ask itself whether it is still the leader.
func (ses *session) reading() []clientv3.OpOption {
	if ses.member == nil {
		return nil
	}
	return []clientv3.OpOption{clientv3.WithSerializable()}
}

// read does f by the session of the moment.
func (s *Store) read(ctx context.Context, verb, key string, f func(context.Context, *session) error) error {
	return s.by(ctx, s.now.Load(), verb, key, f)
}

// nothing is the size of a write that leaves nothing behind.
const nothing = -1

// write is read for what changes something: size bytes of values, or nothing.
func (s *Store) write(ctx context.Context, verb, key string, size int, f func(context.Context, *session) error) error {
	ses := s.now.Load()
	if err := ses.err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	if s.keeper != nil {
		if err := s.keeper.admit(ses, size, store.IsVital(ctx)); err != nil {
			return fmt.Errorf("%s %s: %w", verb, key, err)
		}
	}
	err := s.by(ctx, ses, verb, key, f)
	if err != nil && s.keeper != nil && !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrTooLarge) {
		s.keeper.sums.unsure()
	}
	return err
}

// by does f by ses. What a member says when it has failed is not believed: the outcome is then unknown.
func (s *Store) by(ctx context.Context, ses *session, verb, key string, f func(context.Context, *session) error) error {
	if err := ses.err(); err != nil {
		return fmt.Errorf("%s %s: %w", verb, key, err)
	}
	during, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ses.over, cancel)()
	err := f(during, ses)
	if failed := ses.err(); failed != nil && ctx.Err() == nil {
		return fmt.Errorf("%s %s: %w", verb, key, failed)
	}
	if err != nil {
		return wrap(ctx, verb, key, err)
	}
	return nil
}

// told notes that somebody knows of revision.
func (s *Store) told(revision int64) { raise(&s.acked, revision) }

// How far one lease serves several keys, upstream's figures: for a twentieth of the time to live, a minute at most, and
// for a thousand keys, since etcd revokes all keys of a lease in one go.
const (
	leaseShare    = 20
	leaseSpan     = 60 // seconds
	leaseCapacity = 1000
)

// leases hands out etcd leases, one for many keys: granting one costs as much as writing a key.
type leases struct {
	c  *clientv3.Client
	mu struct {
		sync.Mutex
		id      clientv3.LeaseID
		expires time.Time
		keys    int
	}
}

// get returns a lease that lives for ttl seconds or a little longer.
func (l *leases) get(ctx context.Context, ttl int64) (clientv3.LeaseID, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	span := min(ttl/leaseShare, leaseSpan)
	now := time.Now()
	least := now.Add(time.Duration(ttl) * time.Second)
	most := now.Add(time.Duration(ttl+span) * time.Second)
	if l.mu.id != 0 && !l.mu.expires.Before(least) && !l.mu.expires.After(most) && l.mu.keys < leaseCapacity {
		l.mu.keys++
		return l.mu.id, nil
	}
	r, err := l.c.Grant(ctx, ttl+span)
	if err != nil {
		return 0, fmt.Errorf("grant a lease of %d s: %w", ttl+span, err)
	}
	l.mu.id, l.mu.expires, l.mu.keys = r.ID, most, 1
	return r.ID, nil
}
