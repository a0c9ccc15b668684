package etcd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"sampan.dev/internal/hub/store"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// root is what all keys of the hub start with; External may keep them under another prefix.
const root = "/registry"

// Store implements store.Store over a session, and over the next one when an embedded member has failed.
type Store struct {
	prefix string // in place of root
	now    atomic.Pointer[session]
	acked  atomic.Int64 // newest revision that anybody has been told of
	newest newest       // the same, by what is watched
	keeper *keeper      // nil for an external cluster
	close  func() error // may be called more than once
}

var (
	_ store.Batcher = (*Store)(nil)
	_ store.Scanner = (*Store)(nil)
	_ store.Gauge   = (*Store)(nil)
	_ store.Sized   = (*Store)(nil)
)

func newStore(first *session, prefix string) *Store {
	s := &Store{prefix: prefix}
	s.now.Store(first)
	return s
}

// in turns a key of ours into etcd's, out back.
func (s *Store) in(key string) string {
	if s.prefix == root {
		return key
	}
	return s.prefix + strings.TrimPrefix(key, root)
}

func (s *Store) out(key []byte) string {
	if s.prefix == root {
		return string(key)
	}
	return root + strings.TrimPrefix(string(key), s.prefix)
}

func (s *Store) kv(kv *mvccpb.KeyValue) store.KV {
	out := store.KV{Key: s.out(kv.Key), Value: kv.Value, Revision: kv.ModRevision, CreateRevision: kv.CreateRevision}
	if s.keeper != nil {
		known := true
		if out.Err, known = s.keeper.sums.check(out.Key, out.Value, out.Revision); out.Err != nil {
			out.Value = nil
		}
		out.Unchecked = !known
	}
	return out
}

// wrote notes a write of the embedded member that has been acknowledged.
func (s *Store) wrote(revision int64, writes ...store.Write) {
	s.told(revision)
	if s.keeper == nil {
		return
	}
	s.keeper.sums.wrote(revision, writes...)
	for _, w := range writes {
		s.newest.wrote(w.Key, revision)
	}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key string) (store.KV, int64, error) {
	var r *clientv3.GetResponse
	err := s.read(ctx, "get", key, func(ctx context.Context, ses *session) (err error) {
		r, err = ses.c.Get(ctx, s.in(key), ses.reading()...)
		return err
	})
	if err != nil {
		return store.KV{}, 0, err
	}
	if len(r.Kvs) == 0 {
		if s.keeper != nil {
			if err := s.keeper.sums.missing(key); err != nil {
				return store.KV{}, r.Header.Revision, err
			}
		}
		return store.KV{}, r.Header.Revision, fmt.Errorf("get %s: %w", key, store.ErrNotFound)
	}
	kv := s.kv(r.Kvs[0])
	if s.keeper != nil && kv.Err == nil {
		kv.Err = s.keeper.sums.missing(key) // what is there is older than what was acknowledged
		if kv.Err == nil && kv.Unchecked {
			if kv.Err = s.keeper.sums.current(key, kv.Revision, r.Header.Revision); kv.Err == nil {
				kv.Err = s.moved(ctx, key, kv.Revision)
			}
		}
	}
	return kv, r.Header.Revision, kv.Err
}

// moved says that the record of key lies about its revision: it is there before that. It is asked of what is not known.
func (s *Store) moved(ctx context.Context, key string, rev int64) error {
	if rev <= 1 {
		return nil
	}
	var r *clientv3.GetResponse
	err := s.read(ctx, "get", key, func(ctx context.Context, ses *session) (err error) {
		r, err = ses.c.Get(ctx, s.in(key), append(ses.reading(), clientv3.WithRev(rev-1))...)
		return err
	})
	if err == nil && len(r.Kvs) == 1 && r.Kvs[0].ModRevision == rev {
		return damaged(key, rev, "it is older than it says")
	}
	return nil // or its past has been compacted
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, p store.Page) (store.Listing, error) {
	var r *clientv3.GetResponse
	err := s.read(ctx, "list", p.Prefix, func(ctx context.Context, ses *session) (err error) {
		opts := append(ses.reading(), clientv3.WithRange(clientv3.GetPrefixRangeEnd(s.in(p.Prefix))), clientv3.WithRev(p.Revision))
		if p.Limit > 0 {
			opts = append(opts, clientv3.WithLimit(int64(p.Limit)))
		}
		r, err = ses.c.Get(ctx, s.in(max(p.Prefix, p.From)), opts...)
		return err
	})
	if err != nil {
		return store.Listing{}, err
	}
	l := store.Listing{Revision: r.Header.Revision, More: r.More, Count: r.Count, KVs: make([]store.KV, len(r.Kvs))}
	if p.Revision > 0 {
		l.Revision = p.Revision
	}
	for i, kv := range r.Kvs {
		l.KVs[i] = s.kv(kv)
	}
	return l, nil
}

// Create implements store.Store.
func (s *Store) Create(ctx context.Context, key string, value []byte, ttlSeconds int64) (int64, error) {
	var r *clientv3.TxnResponse
	err := s.write(ctx, "create", key, len(value), func(ctx context.Context, ses *session) (err error) {
		put, err := s.put(ctx, ses, key, value, ttlSeconds)
		if err != nil {
			return err
		}
		r, err = ses.c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(s.in(key)), "=", 0)).Then(put).Commit()
		return err
	})
	if err != nil {
		return 0, err
	}
	if !r.Succeeded {
		return 0, fmt.Errorf("create %s: %w", key, store.ErrExists)
	}
	s.wrote(r.Header.Revision, store.Write{Key: key, Value: value, TTLSeconds: ttlSeconds})
	return r.Header.Revision, nil
}

// Update implements store.Store.
func (s *Store) Update(ctx context.Context, key string, value []byte, expect, ttlSeconds int64) (int64, error) {
	return s.swap(ctx, "update", store.Write{Key: key, Value: value, TTLSeconds: ttlSeconds}, expect, func(ctx context.Context, ses *session) (clientv3.Op, error) {
		return s.put(ctx, ses, key, value, ttlSeconds)
	})
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key string, expect int64) (int64, error) {
	rev, err := s.swap(ctx, "delete", store.Write{Key: key}, expect, func(context.Context, *session) (clientv3.Op, error) {
		return clientv3.OpDelete(s.in(key)), nil
	})
	if s.keeper != nil && errors.Is(err, store.ErrNotFound) && s.keeper.sums.missing(key) != nil {
		// What has vanished by itself is now gone in order. There is no revision of that.
		rev := s.acked.Load()
		s.wrote(rev, store.Write{Key: key})
		return rev, nil
	}
	return rev, err
}

// put makes the op that writes a value, which is not copied: nobody changes it any more.
func (s *Store) put(ctx context.Context, ses *session, key string, value []byte, ttlSeconds int64) (clientv3.Op, error) {
	var opts []clientv3.OpOption
	if ttlSeconds > 0 {
		lease, err := ses.leases.get(ctx, ttlSeconds)
		if err != nil {
			return clientv3.Op{}, err
		}
		opts = append(opts, clientv3.WithLease(lease))
	}
	op := clientv3.OpPut(s.in(key), "", opts...)
	op.WithValueBytes(value)
	return op, nil
}

// swap makes and does an op if key is at revision expect, which must be one: a key that is not there is a conflict.
func (s *Store) swap(ctx context.Context, verb string, w store.Write, expect int64, op func(context.Context, *session) (clientv3.Op, error)) (int64, error) {
	key, size := w.Key, nothing
	if w.Value != nil {
		size = len(w.Value)
	}
	if expect <= 0 {
		expect = -1 // no key is there; 0 would match a missing one
	}
	var r *clientv3.TxnResponse
	err := s.write(ctx, verb, key, size, func(ctx context.Context, ses *session) error {
		do, err := op(ctx, ses)
		if err != nil {
			return err
		}
		r, err = ses.c.Txn(ctx).
			If(clientv3.Compare(clientv3.ModRevision(s.in(key)), "=", expect)).
			Then(do).
			Else(clientv3.OpGet(s.in(key))).
			Commit()
		return err
	})
	if err != nil {
		return 0, err
	}
	if r.Succeeded {
		s.wrote(r.Header.Revision, w)
		return r.Header.Revision, nil
	}
	conflict := &store.ConflictError{Key: key}
	if kvs := r.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 {
		kv := s.kv(kvs[0])
		conflict.Current = &kv
	}
	return 0, conflict
}

// Revision implements store.Store. While an embedded member has failed it is the newest that anybody has been told of: nobody
// else can write, so that what has been read before is still true.
func (s *Store) Revision(ctx context.Context, prefix string) (int64, error) {
	ses := s.now.Load()
	if ses.member != nil {
		if rev, ok := ses.member.revision(); ok {
			return rev, nil
		}
		if ses.over.Err() != nil && s.keeper.closed() {
			return 0, fmt.Errorf("revision: %w: etcd has stopped", store.ErrUnready)
		}
		return s.newest.under(prefix, s.acked.Load()), nil
	}
	r, err := ses.c.Get(ctx, s.in(root)) // no such key; the answer's header is what is wanted
	if err != nil {
		return 0, wrap(ctx, "revision", root, err)
	}
	return r.Header.Revision, nil
}

// Compact implements store.Store.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	return s.read(ctx, "compact", fmt.Sprint(revision), func(ctx context.Context, ses *session) error {
		_, err := ses.c.Compact(ctx, revision)
		if err == nil && s.keeper != nil {
			s.keeper.sums.prune(revision, ses.member.point())
		}
		return err
	})
}

// Size implements store.Sized.
func (s *Store) Size(ctx context.Context) (int64, error) {
	ses := s.now.Load()
	if ses.member != nil {
		size, _ := usage(ses)
		return size, nil
	}
	r, err := ses.c.Status(ctx, ses.c.Endpoints()[0])
	if err != nil {
		return 0, wrap(ctx, "size", root, err)
	}
	return r.DbSize, nil
}

// Close implements store.Store.
func (s *Store) Close() error { return s.close() }

// wrap gives err its class. The caller's own context error stays what it is.
func wrap(ctx context.Context, verb, key string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s %s: %w", verb, key, ctx.Err())
	}
	class := store.ErrUnready
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		class = store.ErrCompacted
	case errors.Is(err, rpctypes.ErrFutureRev):
		class = store.ErrFuture
	case errors.Is(err, rpctypes.ErrRequestTooLarge), overLimit(err):
		class = store.ErrTooLarge
	case errors.Is(err, rpctypes.ErrNoSpace):
		class = store.ErrFull
	}
	return fmt.Errorf("%s %s: %w: %w", verb, key, class, err)
}

// overLimit reports whether grpc itself refused to send a message for its size.
func overLimit(err error) bool {
	return status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "larger than max")
}

// Sole implements store.Sole.
func (s *Store) Sole() bool { return s.keeper != nil }
