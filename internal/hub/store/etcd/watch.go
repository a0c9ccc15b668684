package etcd

import (
	"context"
	"fmt"
	"runtime"

	"sampan.dev/internal/hub/store"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

// stream gives each prefix a watch stream of its own: the client opens one per set of metadata. So a request for progress
// reaches only the watches it is meant for, and these do not wait behind the events of others.
func stream(ctx context.Context, prefix string) context.Context {
	ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs("sampan-watch", prefix))
	return clientv3.WithRequireLeader(ctx)
}

// RequestProgress implements store.Store.
func (s *Store) RequestProgress(ctx context.Context, prefix string) error {
	return s.read(stream(ctx, prefix), "request progress of", prefix, func(ctx context.Context, ses *session) error {
		return ses.c.RequestProgress(ctx)
	})
}

// Watch implements store.Store. When an embedded member fails, it waits for the next and goes on where it was.
func (s *Store) Watch(ctx context.Context, prefix string, after int64, fn func([]store.Event) error) error {
	if s.keeper != nil {
		s.newest.follow(prefix, s.acked.Load())
	}
	for {
		next := s.keeper.next()
		ses := s.now.Load()
		err := ses.err()
		if err == nil {
			err = s.watch(ctx, ses, prefix, &after, fn)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case ses.err() == nil || next == nil:
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.keeper.done():
			return fmt.Errorf("watch %s: %w: the store was closed", prefix, store.ErrUnready)
		case <-next:
		}
	}
}

// watch is Watch by one session; after moves on.
func (s *Store) watch(ctx context.Context, ses *session, prefix string, after *int64, fn func([]store.Event) error) error {
	wctx, cancel := context.WithCancel(stream(ctx, prefix))
	defer cancel()
	defer context.AfterFunc(ses.over, cancel)()
	// Without WithFragment the server never splits what one transaction did.
	responses := ses.c.Watch(wctx, s.in(prefix), clientv3.WithPrefix(), clientv3.WithRev(*after+1), clientv3.WithProgressNotify())
	for r := range responses {
		if err := ses.err(); err != nil {
			return err // and this may tell of what was never made durable
		}
		if r.CompactRevision != 0 {
			return fmt.Errorf("watch %s after %d: %w (now %d)", prefix, *after, store.ErrCompacted, r.CompactRevision)
		}
		if err := r.Err(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return wrap(ctx, "watch", prefix, err)
		}
		events := s.events(&r)
		if len(events) == 0 {
			continue
		}
		ses.await(events[len(events)-1].Revision)
		if err := fn(events); err != nil {
			return err
		}
		*after = max(*after, events[len(events)-1].Revision)
		s.told(*after)
	}
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch %s: %w: the stream ended", prefix, store.ErrUnready)
}

// await returns when reads see revision. The member notifies watchers a moment before that: whoever has seen an event and reads
// then would not find what the event told.
func (ses *session) await(revision int64) {
	if ses.member == nil {
		return // those reads ask a quorum
	}
	for {
		if at, ok := ses.member.revision(); !ok || at >= revision {
			return
		}
		runtime.Gosched()
	}
}

func (s *Store) events(r *clientv3.WatchResponse) []store.Event {
	if r.IsProgressNotify() {
		return []store.Event{{KV: store.KV{Revision: r.Header.Revision}, Progress: true}}
	}
	out := make([]store.Event, len(r.Events))
	for i, e := range r.Events {
		out[i] = store.Event{KV: s.kv(e.Kv), Created: e.IsCreate()}
		if e.Type == mvccpb.DELETE {
			out[i].Deleted, out[i].Value, out[i].CreateRevision = true, nil, 0
		}
	}
	return out
}
