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
			return rev, nil
		}
		out := make([]store.KV, len(r.KVs))
		size := 0
		for i, k := range r.KVs {
			v, ok := stored(db, k)
			if !ok {
				if v, err = lookUp(ctx, kv, k.Key, rev); err != nil {
					return 0, wrap(ctx, "scan", prefix, err)
				}
			}
			out[i] = store.KV{Key: s.out(k.Key), Value: v, Revision: k.ModRevision, CreateRevision: k.CreateRevision}
			size += len(v)
		}
		if err := fn(out); err != nil {
			return 0, err
		}
		ses.member.looked(size)
		if len(r.KVs) < scanChunk {
			return rev, nil
		}
		from = append(bytes.Clone(r.KVs[len(r.KVs)-1].Key), 0)
	}
}

// stored finds the value that k's last write left, in place. A transaction that wrote several keys numbered them below its
// revision, and the index does not say how.
func stored(db backend.ReadTx, k *mvccpb.KeyValue) ([]byte, bool) {
	at := func(sub int64) []byte {
		return mvcc.RevToBytes(mvcc.Revision{Main: k.ModRevision, Sub: sub}, mvcc.NewRevBytes())
	}
	_, found := db.UnsafeRange(schema.Key, at(0), nil, 0)
	if len(found) == 1 {
		if v, ok := valueOf(found[0], k.Key); ok {
			return v, true
		}
	}
	_, found = db.UnsafeRange(schema.Key, at(1), mvcc.RevToBytes(mvcc.Revision{Main: k.ModRevision + 1}, mvcc.NewRevBytes()), 0)
	for _, kv := range found {
		if v, ok := valueOf(kv, k.Key); ok {
			return v, true
		}
	}
	return nil, false
}

// lookUp has etcd find a value.
func lookUp(ctx context.Context, kv mvcc.ReadView, key []byte, rev int64) ([]byte, error) {
	r, err := kv.Range(ctx, key, nil, mvcc.RangeOptions{Rev: rev, Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(r.KVs) != 1 {
		return nil, fmt.Errorf("%s is in the index and not in the database", key)
	}
	return r.KVs[0].Value, nil
}

// valueOf returns the value of an encoded mvccpb.KeyValue without copying it, if it is of key.
func valueOf(kv, key []byte) (value []byte, ok bool) {
	value = []byte{}
	for len(kv) > 0 {
		num, typ, n := protowire.ConsumeTag(kv)
		if n < 0 {
			return nil, false
		}
		kv = kv[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, kv); n < 0 {
				return nil, false
			}
			kv = kv[n:]
			continue
		}
		b, n := protowire.ConsumeBytes(kv)
		if n < 0 {
			return nil, false
		}
		switch num {
		case 1: // key
			if !bytes.Equal(b, key) {
				return nil, false
			}
			ok = true
		case 5: // value
			value = b
		}
		kv = kv[n:]
	}
	return value, ok
}
