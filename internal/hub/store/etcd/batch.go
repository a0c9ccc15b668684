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
	size := nothing
	for _, w := range writes {
		if w.Value != nil {
			size = max(size, 0) + len(w.Value)
		}
	}
	var r *clientv3.TxnResponse
	err := s.write(ctx, "write", writes[0].Key, size, func(ctx context.Context, ses *session) (err error) {
		ops := make([]clientv3.Op, len(writes))
		for i, w := range writes {
			if w.Value == nil {
				ops[i] = clientv3.OpDelete(s.in(w.Key))
				continue
			}
			if ops[i], err = s.put(ctx, ses, w.Key, w.Value, w.TTLSeconds); err != nil {
				return err
			}
		}
		r, err = ses.c.Txn(ctx).Then(ops...).Commit()
		return err
	})
	if err != nil {
		return err
	}
	s.wrote(r.Header.Revision, writes...)
	return nil
}
