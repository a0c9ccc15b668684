package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/hub/store"
)

const a, b = "/registry/things/d/a", "/registry/things/d/b"

func createGet(s *subject) {
	if _, _, err := s.Get(s.ctx, a); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("get of nothing: %v", err)
	}
	before := s.revision()
	rev := s.create(a, "1")
	if rev <= before {
		s.Errorf("revision %d after %d", rev, before)
	}
	kv, at, err := s.Get(s.ctx, a)
	if err != nil || string(kv.Value) != "1" || kv.Key != a || kv.Revision != rev || kv.CreateRevision != rev || at != rev {
		s.Errorf("get: %+v at %d, %v", kv, at, err)
	}
	if _, err := s.Create(s.ctx, a, []byte("2"), 0); !errors.Is(err, store.ErrExists) {
		s.Errorf("create again: %v", err)
	}
	rev2 := s.create(b, "2")
	if _, at, err := s.Get(s.ctx, "/registry/none"); !errors.Is(err, store.ErrNotFound) || at != rev2 {
		s.Errorf("get of nothing at %d: %v", at, err)
	}
	if got := s.revision(); got != rev2 {
		s.Errorf("revision %d, want %d", got, rev2)
	}
}

func update(s *subject) {
	r1 := s.create(a, "1")
	s.create(b, "x")
	r2 := s.update(a, "2", r1)
	kv, _, err := s.Get(s.ctx, a)
	if err != nil || string(kv.Value) != "2" || kv.Revision != r2 || kv.CreateRevision != r1 {
		s.Errorf("get: %+v %v", kv, err)
	}
	_, err = s.Update(s.ctx, a, []byte("3"), r1, 0)
	var c *store.ConflictError
	if !errors.As(err, &c) || !errors.Is(err, store.ErrConflict) || c.Current == nil || string(c.Current.Value) != "2" || c.Current.Revision != r2 || c.Current.CreateRevision != r1 || c.Key != a {
		s.Errorf("stale update: %v %+v", err, c)
	}
	if got := s.revision(); got != r2 {
		s.Errorf("a refused write moved the revision from %d to %d", r2, got)
	}
}

func remove(s *subject) {
	r1 := s.create(a, "1")
	r2 := s.update(a, "2", r1)
	if _, err := s.Delete(s.ctx, a, r1); !errors.Is(err, store.ErrConflict) {
		s.Errorf("stale delete: %v", err)
	}
	r3 := s.delete(a, r2)
	if r3 <= r2 {
		s.Errorf("delete at %d after %d", r3, r2)
	}
	if _, _, err := s.Get(s.ctx, a); !errors.Is(err, store.ErrNotFound) {
		s.Errorf("get of the deleted: %v", err)
	}
	r4 := s.create(a, "new")
	if kv, _, err := s.Get(s.ctx, a); err != nil || kv.CreateRevision != r4 {
		s.Errorf("made anew: %+v %v", kv, err)
	}
}

func missing(s *subject) {
	for _, expect := range []int64{0, 1, 100} {
		_, err := s.Update(s.ctx, a, []byte("x"), expect, 0)
		var c *store.ConflictError
		if !errors.Is(err, store.ErrNotFound) || !errors.As(err, &c) || c.Current != nil {
			s.Errorf("update of nothing at %d: %v", expect, err)
		}
		if _, err := s.Delete(s.ctx, a, expect); !errors.Is(err, store.ErrNotFound) {
			s.Errorf("delete of nothing at %d: %v", expect, err)
		}
	}
	s.create(a, "1")
	if _, err := s.Update(s.ctx, a, []byte("x"), 0, 0); !errors.Is(err, store.ErrConflict) {
		s.Errorf("update at 0 of what is there: %v", err)
	}
}

func tooLarge(s *subject) {
	for _, n := range []int{1600 * 1024, 3 << 20} {
		if _, err := s.Create(s.ctx, a, []byte(strings.Repeat("x", n)), 0); !errors.Is(err, store.ErrTooLarge) {
			s.Errorf("%d bytes: %v", n, err)
		}
	}
	rev := s.create(a, strings.Repeat("x", 1400*1024))
	if kv, _, err := s.Get(s.ctx, a); err != nil || len(kv.Value) != 1400*1024 || kv.Revision != rev {
		s.Errorf("a large value: %v", err)
	}
}

func listPages(s *subject) {
	var last int64
	for i := range 10 {
		last = s.create(fmt.Sprintf("/registry/things/d/%02d", i), strconv.Itoa(i))
	}
	last = s.create("/registry/thingsandmore/x", "x")
	p := store.Page{Prefix: "/registry/things/", Limit: 4}
	var keys []string
	for n := 0; ; n++ {
		l := s.list(p)
		if l.Revision != last || l.Count != int64(10-len(keys)) {
			s.Errorf("page %d: revision %d want %d, count %d", n, l.Revision, last, l.Count)
		}
		for _, kv := range l.KVs {
			keys = append(keys, kv.Key)
			if want := fmt.Sprintf("/registry/things/d/%02s", kv.Value); kv.Key != want {
				s.Errorf("%s holds %s", kv.Key, kv.Value)
			}
		}
		if !l.More {
			break
		}
		p.From, p.Revision = keys[len(keys)-1]+"\x00", l.Revision
	}
	if len(keys) != 10 {
		s.Errorf("%d keys in pages: %v", len(keys), keys)
	}
	if l := s.list(store.Page{Prefix: "/registry/things/", From: "/registry/things/d/07"}); len(l.KVs) != 3 || l.More || l.Count != 3 {
		s.Errorf("from the middle: %+v", l)
	}
	if l := s.list(store.Page{Prefix: "/registry/nothing/"}); len(l.KVs) != 0 || l.More || l.Revision != last {
		s.Errorf("of nothing: %+v", l)
	}
}

func listAt(s *subject) {
	r1 := s.create(a, "1")
	r2 := s.create(b, "1")
	r3 := s.update(a, "2", r1)
	r4 := s.delete(b, r2)
	for rev, want := range map[int64]string{r1: "1", r2: "11", r3: "21", r4: "2"} {
		l := s.list(store.Page{Prefix: "/registry/things/", Revision: rev})
		got := ""
		for _, kv := range l.KVs {
			got += string(kv.Value)
		}
		if got != want || l.Revision != rev || l.Count != int64(len(want)) {
			s.Errorf("at %d: %q at %d, count %d; want %q", rev, got, l.Revision, l.Count, want)
		}
	}
	if _, err := s.List(s.ctx, store.Page{Prefix: a, Revision: r4 + 100}); !errors.Is(err, store.ErrFuture) {
		s.Errorf("the future: %v", err)
	}
}

func compaction(s *subject) {
	r1 := s.create(a, "1")
	r2 := s.update(a, "2", r1)
	rb := s.create(b, "1")
	s.delete(b, rb)
	r3 := s.update(a, "3", r2)
	if err := s.Compact(s.ctx, r3); err != nil {
		s.Fatal(err)
	}
	if _, err := s.List(s.ctx, store.Page{Prefix: "/registry/things/", Revision: r2}); !errors.Is(err, store.ErrCompacted) {
		s.Errorf("list of the past: %v", err)
	}
	if l := s.list(store.Page{Prefix: "/registry/things/", Revision: r3}); len(l.KVs) != 1 || l.KVs[0].CreateRevision != r1 {
		s.Errorf("list at the compacted revision: %+v", l)
	}
	if err := s.Compact(s.ctx, r2); !errors.Is(err, store.ErrCompacted) {
		s.Errorf("compact twice: %v", err)
	}
	if err := s.Compact(s.ctx, r3+100); !errors.Is(err, store.ErrFuture) {
		s.Errorf("compact the future: %v", err)
	}
	s.update(a, "4", r3)
	s.create(b, "2")
}

func timeToLive(s *subject) {
	r1, err := s.Create(s.ctx, a, []byte("1"), 1)
	if err != nil {
		s.Fatal(err)
	}
	r2, err := s.Create(s.ctx, b, []byte("1"), 1)
	if err != nil {
		s.Fatal(err)
	}
	s.update(b, "2", r2) // without a time to live it stays
	f := s.follow("/registry/things/", r2)
	start := time.Now()
	f.want("~" + b)
	e := f.next()
	if !e.Deleted || e.Key != a || e.Revision <= r1 {
		s.Errorf("after the time to live: %+v", e)
	}
	if d := time.Since(start); d < 500*time.Millisecond || d > 10*time.Second {
		s.Errorf("lived %v", d)
	}
	if _, _, err := s.Get(s.ctx, b); err != nil {
		s.Errorf("what was to stay: %v", err)
	}
	f.stop()
}

func contention(s *subject) {
	s.create(a, "0")
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for done := 0; done < each; {
				kv, _, err := s.Get(s.ctx, a)
				if err != nil {
					s.Error(err)
					return
				}
				n, _ := strconv.Atoi(string(kv.Value))
				_, err = s.Update(s.ctx, a, []byte(strconv.Itoa(n+1)), kv.Revision, 0)
				switch {
				case err == nil:
					done++
				case !errors.Is(err, store.ErrConflict):
					s.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if kv, _, _ := s.Get(s.ctx, a); string(kv.Value) != strconv.Itoa(writers*each) {
		s.Errorf("counted to %s, want %d", kv.Value, writers*each)
	}
}

func batch(s *subject) {
	st, ok := s.Store.(store.Batcher)
	if !ok {
		return // the seam does not ask for it
	}
	r := s.create(a, "1")
	f := s.follow("/registry/things/", r)
	var writes []store.Write
	for i := range 300 {
		writes = append(writes, store.Write{Key: fmt.Sprintf("/registry/things/n/%03d", i), Value: []byte(strings.Repeat("x", 5000))})
	}
	writes = append(writes, store.Write{Key: a, Value: []byte("2")}, store.Write{Key: b}, store.Write{Key: "/registry/things/n/ttl", Value: []byte("x"), TTLSeconds: 1})
	if err := st.Apply(s.ctx, writes); err != nil {
		s.Fatal(err)
	}
	created := 0
	for range 302 {
		if f.next().Created {
			created++
		}
	}
	if created != 301 {
		s.Errorf("%d keys are new", created)
	}
	if err := st.Apply(s.ctx, []store.Write{{Key: a}, {Key: writes[0].Key}}); err != nil {
		s.Fatal(err)
	}
	gone := map[string]bool{}
	for range 3 {
		e := f.next()
		gone[e.Key] = e.Deleted
	}
	if !gone[a] || !gone[writes[0].Key] || !gone["/registry/things/n/ttl"] {
		s.Errorf("gone: %v", gone)
	}
	if l := s.list(store.Page{Prefix: "/registry/things/"}); l.Count != 299 {
		s.Errorf("%d keys are left", l.Count)
	}
	f.stop()
}

func scan(s *subject) {
	st, ok := s.Store.(store.Scanner)
	if !ok {
		return // the seam does not ask for it
	}
	want := map[string]string{}
	for i := range 30 {
		key := fmt.Sprintf("/registry/things/d/%02d", i)
		rev := s.create(key, "old")
		if i%3 == 0 {
			s.delete(key, rev)
			continue
		}
		if want[key] = strconv.Itoa(i); i%5 == 0 {
			want[key] = ""
		}
		s.update(key, want[key], rev)
	}
	s.create("/registry/thingsandmore/x", "x")
	if b, ok := s.Store.(store.Batcher); ok {
		var writes []store.Write
		for i := range 20 {
			w := store.Write{Key: fmt.Sprintf("/registry/things/e/%02d", i), Value: []byte(strconv.Itoa(i))}
			want[w.Key] = string(w.Value)
			writes = append(writes, w, store.Write{Key: fmt.Sprintf("/registry/other/%02d", i), Value: []byte("x")})
		}
		if err := b.Apply(s.ctx, writes); err != nil {
			s.Fatal(err)
		}
	}
	listed := map[string]store.KV{}
	for _, kv := range s.list(store.Page{Prefix: "/registry/things/"}).KVs {
		listed[kv.Key] = kv
	}
	last, n := "", 0
	rev, err := st.Scan(s.ctx, "/registry/things/", func(kvs []store.KV) error {
		for _, kv := range kvs {
			n++
			l := listed[kv.Key]
			if v, ok := want[kv.Key]; !ok || string(kv.Value) != v || kv.Key <= last || kv.Revision != l.Revision || kv.CreateRevision != l.CreateRevision {
				s.Errorf("%s holds %q at %d, want %q at %d", kv.Key, kv.Value, kv.Revision, v, l.Revision)
			}
			last = kv.Key
		}
		return nil
	})
	if err != nil || rev != s.revision() || n != len(want) {
		s.Errorf("%d keys at %d, want %d at %d; %v", n, rev, len(want), s.revision(), err)
	}
	stop := errors.New("enough")
	if _, err := st.Scan(s.ctx, "/registry/things/", func([]store.KV) error { return stop }); err != stop {
		s.Errorf("a function that fails: %v", err)
	}
	if rev, err := st.Scan(s.ctx, "/registry/nothing/", func([]store.KV) error { return stop }); err != nil || rev != s.revision() {
		s.Errorf("of nothing: %d %v", rev, err)
	}
}
