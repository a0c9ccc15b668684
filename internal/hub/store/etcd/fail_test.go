package etcd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/hub/store"

	"golang.org/x/sys/unix"
)

// spoil puts a device that takes no byte in the place of the descriptors of this process whose files below dir match.
func spoil(t *testing.T, dir string, match func(path string) bool) {
	t.Helper()
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		path, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err != nil || !strings.HasPrefix(path, dir) || !match(path) {
			continue
		}
		full, err := unix.Open("/dev/full", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Flock(fd, unix.LOCK_UN); err != nil && !strings.HasSuffix(path, ".wal") {
			t.Fatal(err)
		}
		if err := unix.Dup3(full, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		unix.Close(full)
		n++
	}
	if n == 0 {
		t.Fatal("nothing to spoil")
	}
}

// TestFailedWrite has the disk refuse a write of the log, or of the database, while writers and a watcher are at it. The
// process goes on; what was acknowledged is there, at the revision it was acknowledged at; the watcher sees every write
// once and nothing else; and writes go on by themselves.
func TestFailedWrite(t *testing.T) {
	for _, c := range []struct {
		name  string
		match func(path string) bool
		del   bool // a deletion is committed to the database at once
	}{
		{"of the log", func(p string) bool { return strings.HasSuffix(p, ".wal") }, false},
		{"of the database", func(p string) bool { return strings.HasSuffix(p, "/db") }, false},
		{"of the database by a deletion", func(p string) bool { return strings.HasSuffix(p, "/db") }, true},
		{"of both", func(p string) bool { return strings.HasSuffix(p, "/db") || strings.HasSuffix(p, ".wal") }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := embedded(t, EmbeddedConfig{Dir: dir})
			w := watchAll(t, s)
			acked := map[string]int64{}
			put := func(key string) error {
				rev, err := s.Create(t.Context(), key, []byte(key), 0)
				if err == nil {
					acked[key] = rev
				}
				return err
			}
			for round := range 3 {
				for i := range 20 {
					if err := put(fmt.Sprintf("/registry/k/%d-%d", round, i)); err != nil {
						t.Fatal(err)
					}
				}
				failing := s.now.Load()
				spoil(t, dir, c.match)
				if c.del {
					key := fmt.Sprintf("/registry/k/%d-0", round)
					if _, err := s.Delete(t.Context(), key, acked[key]); err == nil {
						delete(acked, key)
					} else if !errors.Is(err, store.ErrUnready) {
						t.Errorf("delete: %v", err)
					}
				} else if err := put(fmt.Sprintf("/registry/k/%d-last", round)); err != nil && !errors.Is(err, store.ErrUnready) {
					t.Errorf("create: %v", err)
				}
				awaitNext(t, s, failing)
				if err := put(fmt.Sprintf("/registry/k/%d-after", round)); err != nil {
					t.Fatalf("after the failure: %v", err)
				}
			}
			for key, rev := range acked {
				kv, _, err := s.Get(t.Context(), key)
				if err != nil && c.del && strings.HasSuffix(key, "-0") && errors.Is(err, store.ErrNotFound) {
					continue // nobody said whether it was deleted
				}
				if err != nil || kv.Revision != rev || string(kv.Value) != key {
					t.Errorf("%s was acknowledged at %d: %+v %v", key, rev, kv, err)
				}
			}
			w.compare(t, s)
		})
	}
}

// awaitNext waits until the store has another session than failing.
func awaitNext(t *testing.T, s *Store, failing *session) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		next := s.keeper.next()
		if s.now.Load() != failing {
			return
		}
		select {
		case <-next:
		case <-limit:
			t.Fatalf("the store is not opened again: %v", s.Healthy())
		}
	}
}

// watcher follows a store as a watch cache does.
type watcher struct {
	model map[string]int64
	seen  atomic.Int64
	bad   []string
	stop  context.CancelFunc
	ended chan struct{}
}

func watchAll(t *testing.T, s *Store) *watcher {
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{model: map[string]int64{}, stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		err := s.Watch(ctx, "/registry/", 1, func(events []store.Event) error {
			for _, e := range events {
				switch {
				case e.Progress:
				case e.Revision <= w.seen.Load():
					w.bad = append(w.bad, fmt.Sprintf("%s at %d after %d", e.Key, e.Revision, w.seen.Load()))
				case e.Deleted:
					delete(w.model, e.Key)
				default:
					w.model[e.Key] = e.Revision
				}
				w.seen.Store(e.Revision)
			}
			return nil
		})
		if err != nil {
			w.bad = append(w.bad, err.Error())
		}
	}()
	t.Cleanup(func() { w.stop(); <-w.ended })
	return w
}

// compare waits until the watcher has seen everything and compares that with what there is.
func (w *watcher) compare(t *testing.T, s *Store) {
	t.Helper()
	rev, err := s.Revision(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(time.Minute)
	for w.seen.Load() < rev {
		if time.Now().After(limit) {
			t.Fatalf("the watcher has seen %d of %d", w.seen.Load(), rev)
		}
		if err := s.RequestProgress(t.Context(), "/registry/"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.stop()
	<-w.ended
	for _, b := range w.bad {
		t.Error("watch: ", b)
	}
	l, err := s.List(t.Context(), store.Page{Prefix: "/registry/"})
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range l.KVs {
		if w.model[kv.Key] != kv.Revision {
			t.Errorf("the watcher has %s at %d, the store at %d", kv.Key, w.model[kv.Key], kv.Revision)
		}
		delete(w.model, kv.Key)
	}
	for key := range w.model {
		t.Errorf("the watcher has %s, the store not", key)
	}
}

// TestFailedMemberHoldsNoFiles looks at the descriptors of this process after a member has failed and was closed: one that is left
// would keep the file system from being unmounted.
func TestFailedMemberHoldsNoFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(t *testing.T, ses *session, dir string)
	}{
		{"told", func(_ *testing.T, ses *session, _ string) { ses.member.fate.fail(errors.New("input/output error")) }},
		{"of the log", func(t *testing.T, ses *session, dir string) {
			spoil(t, dir, func(p string) bool { return strings.HasSuffix(p, ".wal") })
			_, _ = ses.c.Put(t.Context(), "k", "v")
		}},
		{"of the database", func(t *testing.T, ses *session, dir string) {
			spoil(t, dir, func(p string) bool { return strings.HasSuffix(p, "/db") })
			_, _ = ses.c.Put(t.Context(), "k", "v")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, err := filepath.EvalSymlinks(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			ses, err := openMember(t.Context(), dir, EmbeddedConfig{}, walSegment, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if len(openBelow(t, dir)) == 0 {
				t.Fatal("a member that runs has no files")
			}
			c.fail(t, ses, dir)
			<-ses.member.fate.failed
			_ = ses.member.close()
			if left := openBelow(t, dir); len(left) > 0 {
				t.Errorf("left open: %q", left)
			}
		})
	}
}

// openBelow returns what this process has open below dir.
func openBelow(t *testing.T, dir string) (paths []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if path, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && strings.HasPrefix(path, dir+"/") {
			paths = append(paths, path)
		}
	}
	return paths
}

// TestReadsGoOn looks at a store whose member has failed and cannot be opened: what was read before is still true, and a
// write says why it is refused.
func TestReadsGoOn(t *testing.T) {
	dir := t.TempDir()
	s := embedded(t, EmbeddedConfig{Dir: dir})
	rev, err := s.Create(t.Context(), "/registry/a", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing can be opened where a file stands in the place of the log's directory.
	wal := filepath.Join(dir, "etcd/member/wal")
	if err := os.Rename(wal, wal+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(wal, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Of two kinds that are read, one has been written to since.
	for _, kind := range []string{"/registry/still/", "/registry/written/"} {
		if _, err := s.Scan(t.Context(), kind, func([]store.KV) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	last, err := s.Create(t.Context(), "/registry/written/b", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	failing := s.now.Load()
	failing.member.fate.fail(errors.New("input/output error"))
	for prefix, want := range map[string]int64{"": last, "/registry/written/": last, "/registry/still/": 0} {
		if at, err := s.Revision(t.Context(), prefix); err != nil || at != want {
			t.Errorf("revision of %q is %d, %v; want %d", prefix, at, err, want)
		}
	}
	if _, err := s.Create(t.Context(), "/registry/b", []byte("1"), 0); !errors.Is(err, store.ErrUnready) || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("create: %v", err)
	}
	if err := s.Healthy(); err == nil {
		t.Error("the store says that it is well")
	}
	if err := os.Remove(wal); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(wal+".away", wal); err != nil {
		t.Fatal(err)
	}
	awaitNext(t, s, failing)
	if kv, _, err := s.Get(t.Context(), "/registry/a"); err != nil || kv.Revision != rev {
		t.Errorf("after it was opened again: %+v %v", kv, err)
	}
	if err := s.Healthy(); err != nil {
		t.Error(err)
	}
}
