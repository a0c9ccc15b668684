package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/etcd/room"
)

// keeper owns the embedded member: it opens another when one has failed.
type keeper struct {
	s    *Store
	cfg  EmbeddedConfig
	dir  string
	log  *slog.Logger
	room *room.Room
	tend *tender
	sums *sums

	over context.Context // ends with the store
	wg   sync.WaitGroup

	mu struct {
		sync.Mutex
		turn chan struct{} // closed when there is another session
	}
}

// Waits between attempts to open a member on a disk that was not well.
const (
	reopenFirst = 100 * time.Millisecond
	reopenLast  = 2 * time.Second
)

// Embedded starts the member on its directory, new or used, and returns when it serves.
func Embedded(ctx context.Context, cfg EmbeddedConfig) (*Store, error) {
	dir := filepath.Join(cfg.Dir, "etcd")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the etcd directory: %w", err)
	}
	// The kernel's name, by which descriptors are found.
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("find the etcd directory: %w", err)
	}
	k := &keeper{cfg: cfg, dir: dir, log: cfg.Log.With("component", "etcd")}
	k.room = room.New(dir, k.log)
	k.mu.turn = make(chan struct{})
	read := make(chan *sums, 1)
	go func() { read <- openSums(filepath.Join(dir, "sums"), k.log) }()
	ses, err := k.open(ctx)
	k.sums = <-read
	if err == nil {
		if err = k.sums.settle(ses.member); err != nil {
			_ = ses.member.close()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open the etcd directory %s: %w%s", dir, err, advice(err))
	}
	ses.member.foreign.Store(new(k.sums.unsure))
	s := newStore(ses, root)
	s.keeper, k.s = k, s
	k.tend = newTender(k)
	if rev, ok := ses.member.revision(); ok {
		s.told(rev)
	}
	over, end := context.WithCancel(context.Background())
	k.over = over
	k.tend.begin(ctx)
	k.wg.Go(k.run)
	s.close = sync.OnceValue(func() error {
		end()
		k.wg.Wait()
		m := s.now.Load().member
		var at point
		if _, ok := m.revision(); ok {
			at = m.point()
		}
		err := m.close()
		k.sums.close(at)
		k.room.Leave()
		return err
	})
	return s, nil
}

// next is closed when there is another session than that of the moment; nil when there never will be.
func (k *keeper) next() <-chan struct{} {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.mu.turn
}

func (k *keeper) done() <-chan struct{} { return k.over.Done() }

func (k *keeper) closed() bool { return k.over.Err() != nil }

// run puts another session in the place of each that fails, until the store is closed.
func (k *keeper) run() {
	for {
		ses := k.s.now.Load()
		select {
		case <-k.over.Done():
			return
		case <-ses.member.fate.failed:
		}
		since := time.Now()
		k.log.Error("the store has failed: nothing can be written until it has been opened again", "error", ses.member.fate.why)
		k.room.Yield()
		if err := ses.member.close(); err != nil {
			k.log.Debug("close what has failed", "error", err)
		}
		next := k.reopen()
		if next == nil {
			return
		}
		next.member.foreign.Store(new(k.sums.unsure))
		if rev, ok := next.member.revision(); ok {
			k.s.told(rev)
		}
		k.mu.Lock()
		k.s.now.Store(next)
		close(k.mu.turn)
		k.mu.turn = make(chan struct{})
		k.mu.Unlock()
		k.log.Warn("the store works again", "after", time.Since(since).Round(time.Millisecond))
	}
}

// reopen opens a member as soon as the disk takes writes; nil when the store is closed first.
func (k *keeper) reopen() *session {
	said := ""
	for wait := reopenFirst; ; wait = min(2*wait, reopenLast) {
		err := k.try()
		if err == nil {
			ses, opened := k.open(k.over)
			if opened == nil {
				return ses
			}
			err = opened
		}
		if err.Error() != said {
			said = err.Error()
			k.log.Warn("the store cannot be opened yet", "error", err)
		}
		t := time.NewTimer(wait)
		select {
		case <-k.over.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// try finds out whether the disk takes writes, and makes sure that what a failed member left is on it.
func (k *keeper) try() error {
	if err := k.room.Probe(); err != nil {
		return err
	}
	s, err := k.room.Look()
	if err != nil {
		return err
	}
	return rewrite(k.dir, s.Fits(walSegment))
}

// open opens a member. Where room is short the next file of its log, which etcd makes beforehand, takes little of it.
func (k *keeper) open(ctx context.Context) (*session, error) {
	segment := int64(walSegment)
	if s, err := k.room.Look(); err == nil && !s.Fits(2*walSegment) {
		segment = walSegmentShort
	}
	return openMember(ctx, k.dir, k.cfg, segment, k.log)
}

// Healthy says why the embedded member takes no writes at all. It is nil when merely room is short (see ErrFull).
func (s *Store) Healthy() error { return s.now.Load().err() }

// Writable says why values cannot be written for now; nil when they can. Deletions may be possible all the same.
func (s *Store) Writable() error {
	ses := s.now.Load()
	if err := ses.err(); err != nil || s.keeper == nil {
		return err
	}
	return s.keeper.admit(ses, 0, false)
}

// admit says whether size bytes of values may be written.
func (k *keeper) admit(ses *session, size int, vital bool) error {
	if err := k.room.Admit(size != nothing && !vital); err != nil {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	if size == nothing || vital {
		return nil
	}
	if err := k.tend.admit(ses, int64(size)); err != nil {
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	return nil
}

// advice says what can be done about an error of a start, where the error itself does not.
func advice(err error) string {
	switch text := err.Error(); {
	case strings.Contains(text, "sampan etcd restore"), strings.Contains(text, "in use by another process"), errors.Is(err, context.Canceled):
		return ""
	case strings.Contains(text, "no space left"), strings.Contains(text, "read-only"):
		return ". Make room on the disk, or make it writable, and start again"
	}
	return ". A file of it is damaged or missing: restore a snapshot into an empty directory ('sampan etcd restore')"
}
