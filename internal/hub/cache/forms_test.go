package cache

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/deflate"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/btree"
)

var bulk = &api.Kind{Version: "v1", Kind: "ConfigMap", Resource: "configmaps", Namespaced: true, New: func() api.Object { return &corev1.ConfigMap{} }}

// bulky is an entry of so many bytes, decoded as what this process has written.
func bulky(t *testing.T, b *Bounds, key string, rev int64, size int) *Entry {
	t.Helper()
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: key}, Data: map[string]string{"k": strings.Repeat("x", size)}}
	stored, err := api.EncodeStored(o)
	if err != nil {
		t.Fatal(err)
	}
	e := newEntry(bulk, new(atomic.Pointer[envelope]), b, key, rev, stored)
	o.SetGroupVersionKind(bulk.GVK())
	o.SetResourceVersion(e.resourceVersion())
	e.keep(o)
	return e
}

// everyForm has every form made that there is.
func everyForm(t *testing.T, e *Entry) {
	t.Helper()
	for _, make := range []func() error{
		func() error { _, err := e.Object(); return err },
		func() error { _, err := e.JSON(); return err },
		func() error { _, err := e.Proto(); return err },
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
	}
	data, _ := e.JSON()
	for f := range forms {
		e.KeepRun(f, &Run{Revisions: []int64{e.Revision}, Block: deflate.Compress(data)})
	}
}

// formBytes is what the forms of an entry take, counted anew.
func formBytes(e *Entry) int64 {
	n := 0
	if e.obj.Load() != nil {
		n += decodedSize * e.Size()
	}
	if b := e.json.Load(); b != nil {
		n += len(*b)
	}
	if b := e.made.Load(); b != nil {
		n += len(*b)
	}
	for i := range e.runs {
		n += e.runs[i].Load().size()
	}
	return int64(n)
}

// However often a large object is written and read in every form, what is held of its past stays within one bound: messages,
// decoded objects, encodings and compressed runs together.
func TestThePastIsBounded(t *testing.T) {
	const size, memory = 30 << 10, 400 << 20
	b := NewBounds(memory)
	j := newJournal(0, b)
	now := time.Unix(0, 0)
	var prev *Entry
	var all []*Entry
	for rev := int64(1); rev <= 4000; rev++ {
		e := bulky(t, b, "a", rev, size)
		j.append(Event{Type: Modified, Revision: rev, Entry: e, Prev: prev}, now)
		b.succeed(e, prev)
		everyForm(t, e)
		if rev%7 == 0 {
			everyForm(t, prev) // a watcher that is late
		}
		j.trim(now, 0)
		prev, all = e, append(all, e)
	}
	past := int64(0)
	for _, e := range all[:len(all)-1] {
		past += formBytes(e)
	}
	if past > b.past || past != b.mu.past.bytes {
		t.Errorf("%d bytes of forms of the past, %d counted, at most %d", past, b.mu.past.bytes, b.past)
	}
	if n := formBytes(prev); n == 0 || n != b.mu.live.bytes {
		t.Errorf("%d bytes of forms of the newest version, %d counted", n, b.mu.live.bytes)
	}
	if int64(j.bytes) > b.history || j.count < 10 {
		t.Errorf("%d events of %d bytes in the journal, at most %d", j.count, j.bytes, b.history)
	}
	oldest := j.segments[0].events[0].Entry
	if _, err := oldest.JSON(); err != nil {
		t.Error(err)
	}
	b.forget(oldest)
	if formBytes(oldest) != 0 {
		t.Error("what history has let go of keeps its forms")
	}
}

// What is there now has a bound too, of the process's memory; what had to go is made again, and is the same.
func TestThePresentIsBounded(t *testing.T) {
	b := NewBounds(64 << 20)
	var all []*Entry
	var want [][]byte
	for i := range 200 {
		e := bulky(t, b, fmt.Sprint(i), int64(i+1), 100<<10)
		b.succeed(e, nil)
		everyForm(t, e)
		data, _ := e.JSON()
		all, want = append(all, e), append(want, data)
	}
	held, kept := int64(0), 0
	for _, e := range all {
		if n := formBytes(e); n > 0 {
			held, kept = held+n, kept+1
		}
	}
	if held > b.live || held != b.mu.live.bytes || kept == 0 {
		t.Errorf("%d bytes of forms on %d entries, %d counted, at most %d", held, kept, b.mu.live.bytes, b.live)
	}
	for i, e := range all {
		if data, err := e.JSON(); err != nil || !bytes.Equal(data, want[i]) {
			t.Fatalf("%d: made again, it differs: %v", i, err)
		}
	}
	for _, e := range all {
		b.succeed(nil, e)
	}
	if b.mu.live.bytes != 0 || b.mu.past.bytes > b.past {
		t.Errorf("after all were deleted: %d, %d", b.mu.live.bytes, b.mu.past.bytes)
	}
}

// One form larger than the whole bound is there for the one who has it made, and no other.
func TestOneFormBeyondTheBound(t *testing.T) {
	b := &Bounds{history: 1, live: 1, past: 1}
	e, f := bulky(t, b, "a", 1, 1000), bulky(t, b, "b", 2, 1000)
	if formBytes(e) != 0 || formBytes(f) == 0 {
		t.Errorf("%d, %d", formBytes(e), formBytes(f))
	}
}

func TestBoundsUnderRaces(t *testing.T) {
	b := &Bounds{history: 1, live: 100_000, past: 100_000}
	var entries []*Entry
	for i := range 20 {
		entries = append(entries, bulky(t, b, fmt.Sprint(i), int64(i+1), 10_000))
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(g), 1))
			for range 500 {
				e := entries[dice.IntN(len(entries))]
				switch dice.IntN(5) {
				case 0:
					b.succeed(e, entries[dice.IntN(len(entries))])
				case 1:
					b.forget(e)
				case 2:
					if o, err := e.Object(); err != nil || o.GetName() != e.Key {
						t.Error(o, err)
					}
				default:
					if data, err := e.JSON(); err != nil || len(data) < 10_000 {
						t.Error(len(data), err)
					}
				}
			}
		})
	}
	wg.Wait()
	if b.mu.live.bytes > b.live+40_000 || b.mu.past.bytes > b.past+40_000 {
		t.Errorf("%d, %d", b.mu.live.bytes, b.mu.past.bytes)
	}
}

// Segments that end early lose nothing for who reads along, whatever the sizes.
func TestReadersOfUnevenSegments(t *testing.T) {
	b := &Bounds{history: 8 << 20}
	j := newJournal(0, b)
	var mu sync.Mutex // as the cache's: of the writer, and of whoever looks for a place
	var wg sync.WaitGroup
	const events = 3000
	for range 3 {
		at := j.end()
		wg.Go(func() {
			next := int64(1)
			for next <= events {
				p, ok := at.read(func(e *Event) {
					if e.Revision != next {
						t.Errorf("revision %d after %d", e.Revision, next-1)
					}
					next = e.Revision + 1
				})
				if at = p; !ok { // too slow: begins again at what is there
					mu.Lock()
					at, next = j.after(j.floor), j.floor+1
					mu.Unlock()
				}
			}
		})
	}
	dice := rand.New(rand.NewPCG(3, 4))
	for rev := int64(1); rev <= events; rev++ {
		size := dice.IntN(100)
		if dice.IntN(20) == 0 {
			size = dice.IntN(2 << 20)
		}
		mu.Lock()
		j.append(Event{Revision: rev, Entry: &Entry{stored: make([]byte, size)}}, time.Unix(0, 0))
		j.trim(time.Unix(0, 0), 0)
		mu.Unlock()
	}
	wg.Wait()
	if j.bytes > 8<<20+3<<20 {
		t.Errorf("%d bytes", j.bytes)
	}
}

// A state that clients page through is kept as long as what it alone holds is little.
func TestKeptStatesAreBounded(t *testing.T) {
	c := New(bulk, nil, &Bounds{history: 1 << 20, live: 1 << 30, past: 1 << 30}, quiet)
	c.replace(&Snapshot{Revision: 1, byKey: btree.NewG(degree, lessKey)})
	now := time.Now()
	for rev := int64(2); rev < 400; rev++ {
		c.mu.Lock()
		e := bulky(t, c.bounds, "a", rev, 100<<10)
		prev, _ := c.mu.byKey.ReplaceOrInsert(e)
		c.mu.log.append(Event{Type: Modified, Revision: rev, Entry: e, Prev: prev}, now)
		c.mu.log.trim(now, 0)
		c.retainLocked(rev, now)
		c.publishLocked(rev)
		c.forgetLocked(now)
		c.mu.Unlock()
		if s := c.retainedAt(c.current.Load(), rev); s == nil {
			t.Fatal("the newest state is not to be had")
		}
	}
	distinct := map[*Entry]bool{}
	for _, list := range [][]retained{c.mu.kept, c.mu.retained} {
		for _, r := range list {
			r.byKey.Ascend(func(e *Entry) bool { distinct[e] = true; return true })
		}
	}
	bytes := 0
	for e := range distinct {
		bytes += e.Size()
	}
	if bytes > 4<<20 {
		t.Errorf("states that were asked for hold %d bytes in %d entries", bytes, len(distinct))
	}
}
