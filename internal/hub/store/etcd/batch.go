package etcd

import (
	"context"

	"sampan.dev/internal/hub/store"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// What one transaction takes at most: etcd's default number of operations, and well below its limit of bytes.
const (
	batchOps   = 128
	batchBytes = 1 << 20
)

// Apply implements store.Batcher: one transaction for every batchOps changes or batchBytes.
func (s *Store) Apply(ctx context.Context, writes []store.Write) error {
	for len(writes) > 0 {
		n, size := 0, 0
		for n < len(writes) && n < batchOps && (n == 0 || size+len(writes[n].Value) <= batchBytes) {
			size += len(writes[n].Value)
			n++
		}
		if err := s.transact(ctx, writes[:n]); err != nil {
			return err
		}
		writes = writes[n:]
	}
	return nil
}

func (s *Store) transact(ctx context.Context, writes []store.Write) error {
	ops := make([]clientv3.Op, len(writes))
	for i, w := range writes {
		if w.Value == nil {
			ops[i] = clientv3.OpDelete(s.in(w.Key))
			continue
		}
		var err error
		if ops[i], err = s.put(ctx, w.Key, w.Value, w.TTLSeconds); err != nil {
			return wrap(ctx, "write", w.Key, err)
		}
	}
	if _, err := s.c.Txn(ctx).Then(ops...).Commit(); err != nil {
		return wrap(ctx, "write", writes[0].Key, err)
	}
	return nil
}
