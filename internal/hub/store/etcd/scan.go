package etcd

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/hub/store"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/storage/backend"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/encoding/protowire"
)

// scanChunk is how many keys of the index are looked up at once.
const scanChunk = 10000

// Scan implements store.Scanner. The embedded member's values are shown where they lie in the mapped database. To list them
// through etcd's own range costs a copy of each, and, since that counts what is left each time, a walk of the index per page.
func (s *Store) Scan(ctx context.Context, prefix string, fn func([]store.KV) error) (int64, error) {
	ses := s.now.Load()
	if ses.member == nil {
		return store.Pages(ctx, s, prefix, 0, fn)
	}
	s.newest.follow(prefix, 0) // what was acknowledged before is found by the scan
	if _, ok := ses.member.revision(); !ok {
		return 0, fmt.Errorf("scan %s: %w: etcd has stopped", prefix, cmp.Or(ses.err(), store.ErrUnready))
	}
	// The index is read as of one revision, and values in a state of the database at that revision or just after. What has
	// been overwritten and compacted between the two is found by etcd itself.
	kv := ses.member.srv.KV()
	rev := kv.Rev()
	db := ses.member.srv.Backend().ConcurrentReadTx()
	db.RLock() // means nothing, but is what pairs with RUnlock
	defer db.RUnlock()
	from, end := []byte(s.in(prefix)), []byte(clientv3.GetPrefixRangeEnd(s.in(prefix)))
	for {
		r, err := kv.Range(ctx, from, end, mvcc.RangeOptions{Rev: rev, Limit: scanChunk, FastKeysOnly: true})
		if errors.Is(err, mvcc.ErrCompacted) {
			err = rpctypes.ErrCompacted
		}
		if err != nil {
			return 0, wrap(ctx, "scan", prefix, err)
		}
		if len(r.KVs) == 0 {
			break
		}
		out := make([]store.KV, len(r.KVs))
		size := 0
		for i, k := range r.KVs {
			v, ok, bad := stored(db, k)
			if !ok {
				v, bad = lookUp(ctx, kv, k, rev)
			}
			out[i] = store.KV{Key: s.out(k.Key), Value: v, Revision: k.ModRevision, CreateRevision: k.CreateRevision, Err: bad}
			size += len(v)
		}
		s.keeper.sums.pass(out)
		if err := fn(out); err != nil {
			return 0, err
		}
		ses.member.looked(size)
		if len(r.KVs) < scanChunk {
			break
		}
		from = append(bytes.Clone(r.KVs[len(r.KVs)-1].Key), 0)
	}
	if err := ses.err(); err != nil {
		return 0, fmt.Errorf("scan %s: %w", prefix, err)
	}
	if lost := s.keeper.sums.missed(prefix); len(lost) > 0 {
		return rev, fn(lost)
	}
	return rev, nil
}

// stored finds the value that k's last write left, in place. A transaction that wrote several keys numbered them below its
// revision, and the index does not say how. The record says its revision a second time, which must be the same.
func stored(db backend.ReadTx, k *mvccpb.KeyValue) (value []byte, found bool, err error) {
	at := func(sub int64) []byte {
		return mvcc.RevToBytes(mvcc.Revision{Main: k.ModRevision, Sub: sub}, mvcc.NewRevBytes())
	}
	_, kvs := db.UnsafeRange(schema.Key, at(0), nil, 0)
	if len(kvs) == 1 {
		if r, ok := recordOf(kvs[0]); ok && bytes.Equal(r.key, k.Key) {
			return r.value, true, r.is(k)
		}
	}
	_, kvs = db.UnsafeRange(schema.Key, at(1), mvcc.RevToBytes(mvcc.Revision{Main: k.ModRevision + 1}, mvcc.NewRevBytes()), 0)
	for _, kv := range kvs {
		if r, ok := recordOf(kv); ok && bytes.Equal(r.key, k.Key) {
			return r.value, true, r.is(k)
		}
	}
	return nil, false, nil
}

// is says whether the record is that of k's revision.
func (r mvccRecord) is(k *mvccpb.KeyValue) error {
	if r.rev != k.ModRevision {
		return damaged(string(k.Key), k.ModRevision, fmt.Sprintf("it says of itself that it is of revision %d", r.rev))
	}
	return nil
}

// lookUp has etcd find a value.
func lookUp(ctx context.Context, kv mvcc.ReadView, k *mvccpb.KeyValue, rev int64) ([]byte, error) {
	r, err := kv.Range(ctx, k.Key, nil, mvcc.RangeOptions{Rev: rev, Limit: 1})
	switch {
	case err != nil:
		return nil, damaged(string(k.Key), k.ModRevision, err.Error())
	case len(r.KVs) != 1 || r.KVs[0].ModRevision != k.ModRevision || !bytes.Equal(r.KVs[0].Key, k.Key):
		return nil, damaged(string(k.Key), k.ModRevision, "it is in the index and not in the database")
	}
	return r.KVs[0].Value, nil
}

// mvccRecord is what is of interest of an encoded mvccpb.KeyValue, in place.
type mvccRecord struct {
	key, value []byte
	rev        int64
}

// recordOf reads an encoded mvccpb.KeyValue without copying it.
func recordOf(kv []byte) (r mvccRecord, ok bool) {
	r.value = []byte{}
	for len(kv) > 0 {
		num, typ, n := protowire.ConsumeTag(kv)
		if n < 0 {
			return r, false
		}
		kv = kv[n:]
		switch {
		case typ == protowire.BytesType && (num == 1 || num == 5):
			b, m := protowire.ConsumeBytes(kv)
			if n = m; n < 0 {
				return r, false
			}
			if num == 1 {
				r.key = b
			} else {
				r.value = b
			}
		case typ == protowire.VarintType && num == 3:
			v, m := protowire.ConsumeVarint(kv)
			if n = m; n < 0 {
				return r, false
			}
			r.rev = int64(v)
		default:
			if n = protowire.ConsumeFieldValue(num, typ, kv); n < 0 {
				return r, false
			}
		}
		kv = kv[n:]
	}
	return r, len(r.key) > 0
}
