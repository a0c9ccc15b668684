package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/core"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

var pods = &api.Kind{
	Version: "v1", Kind: "Pod", Resource: "pods", Namespaced: true,
	New:     func() api.Object { return &corev1.Pod{} },
	NewList: func() runtime.Object { return &corev1.PodList{} },
	Default: func(o api.Object) {
		if p := o.(*corev1.Pod); p.Spec.RestartPolicy == "" {
			p.Spec.RestartPolicy = corev1.RestartPolicyAlways
		}
	},
	Partition: core.Pods().Partition,
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func pod(name, node string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, UID: "u-1", Labels: map[string]string{"app": "x"}},
		Spec:       corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	}
}

func encode(t testing.TB, o api.Object) []byte {
	t.Helper()
	b, err := api.EncodeStored(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// world is a running cache over a memory store.
type world struct {
	t    testing.TB
	st   *memory.Store
	c    *Cache
	ctx  context.Context
	stop func()
}

// inWorld runs f in a bubble.
func inWorld(t *testing.T, f func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, st: memory.New()}
		w.ctx, w.stop = context.WithCancel(t.Context())
		w.c = New(pods, w.st, nil, quiet)
		done := make(chan struct{})
		go func() { defer close(done); w.c.Run(w.ctx) }()
		<-w.c.Ready()
		f(w)
		w.stop()
		<-done
		w.st.Close()
	})
}

func (w *world) key(name string) string { return pods.Key("d", name) }

func (w *world) create(name, node string) int64 {
	w.t.Helper()
	rev, err := w.st.Create(w.ctx, w.key(name), encode(w.t, pod(name, node)), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return rev
}

func (w *world) update(name, node string, expect int64) int64 {
	w.t.Helper()
	rev, err := w.st.Update(w.ctx, w.key(name), encode(w.t, pod(name, node)), expect, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return rev
}

func (w *world) delete(name string, expect int64) int64 {
	w.t.Helper()
	rev, err := w.st.Delete(w.ctx, w.key(name), expect)
	if err != nil {
		w.t.Fatal(err)
	}
	return rev
}

func (w *world) watch(s Scope, after int64) *Cursor {
	w.t.Helper()
	cu, err := w.c.Watch(s, after)
	if err != nil {
		w.t.Fatal(err)
	}
	return cu
}

// drain returns what a cursor has after everything has settled, as "+name@rev" lines.
func (w *world) drain(cu *Cursor) []string {
	w.t.Helper()
	synctest.Wait()
	events, err := cu.Take()
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprintf("%c%s@%d", " +~-"[e.Type], e.Entry.Key[len("/registry/pods/d/"):], e.Revision))
	}
	return out
}

func (w *world) want(cu *Cursor, want ...string) {
	w.t.Helper()
	got := w.drain(cu)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("events %v, want %v", got, want)
	}
}

func TestSnapshotReachesEveryWrite(t *testing.T) {
	inWorld(t, func(w *world) {
		var last int64
		for i := range 50 {
			name := fmt.Sprintf("p%02d", i)
			rev := w.create(name, "")
			s, err := w.c.Snapshot(w.ctx, rev)
			if err != nil {
				t.Fatal(err)
			}
			if e := s.Get(w.key(name)); e == nil || e.Revision != rev {
				t.Fatalf("read after write of %s: %+v", name, e)
			}
			last = rev
		}
		// A write elsewhere moves the store's revision; the feed learns it by asking, without waiting for time to pass.
		before := time.Now()
		if _, err := w.st.Create(w.ctx, "/registry/other/x", []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		cur, _ := w.c.Current(w.ctx)
		if cur <= last {
			t.Fatalf("current %d after %d", cur, last)
		}
		s, err := w.c.Snapshot(w.ctx, cur)
		if err != nil || s.Revision != cur || s.Len("") != 50 {
			t.Fatalf("snapshot at %d: %v %+v", cur, err, s)
		}
		if d := time.Since(before); d != 0 {
			t.Errorf("an idle kind took %v to catch up", d)
		}
	})
}

func TestSnapshotWaitIsBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx, cancel := context.WithTimeout(w.ctx, 3*time.Second)
		defer cancel()
		if _, err := w.c.Snapshot(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("wait for the future: %v", err)
		}
	})
}

func TestSnapshotsAreImmutable(t *testing.T) {
	inWorld(t, func(w *world) {
		r1 := w.create("a", "n1")
		s1, _ := w.c.Snapshot(w.ctx, r1)
		r2 := w.create("b", "n1")
		r3 := w.update("a", "n2", r1)
		r4 := w.delete("b", r2)
		s4, _ := w.c.Snapshot(w.ctx, r4)
		if s1.Len("") != 1 || s1.Get(w.key("a")).Revision != r1 || len(s1.Part("n1")) != 1 {
			t.Errorf("the first snapshot has changed")
		}
		if s4.Len("") != 1 || s4.Get(w.key("a")).Revision != r3 || len(s4.Part("n1")) != 0 || len(s4.Part("n2")) != 1 {
			t.Errorf("the last snapshot is wrong")
		}
		for rev, want := range map[int64]int{r1: 1, r2: 2, r3: 2, r4: 1} {
			s, err := w.c.At(w.ctx, rev)
			if err != nil {
				t.Fatal(err)
			}
			if s.Len("/registry/pods/d/") != want || s.Revision != rev {
				t.Errorf("at %d: %d pods at %d, want %d", rev, s.Len(""), s.Revision, want)
			}
		}
	})
}

// states counts what the cache can tell of the past without the store.
func (w *world) states() int {
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	return len(w.c.mu.retained) + len(w.c.mu.kept)
}

func TestPastStates(t *testing.T) {
	inWorld(t, func(w *world) {
		rev := w.create("a", "n1")
		first := rev
		synctest.Wait()
		page1, err := w.c.At(w.ctx, first) // somebody lists by pages
		if err != nil {
			t.Fatal(err)
		}
		for range 2 * keepSnapshots {
			rev = w.update("a", "n2", rev)
			synctest.Wait()
		}
		if n := w.states(); n > keepSnapshots+1 {
			t.Errorf("%d states are kept", n)
		}
		if err := w.st.Compact(w.ctx, rev-1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(keepAskedFor - time.Minute)
		if page2, err := w.c.At(w.ctx, first); err != nil || page2 != page1 || page2.Get(w.key("a")).Revision != first {
			t.Errorf("the second page: %v", err)
		}
		if n := w.states(); n > 2 {
			t.Errorf("%d states are kept", n)
		}
		// What is not retained is read from the store, with the entries that are known.
		cur, _ := w.c.Snapshot(w.ctx, rev)
		if s, err := w.c.At(w.ctx, rev-1); err != nil || s.Get(w.key("a")).Revision != rev-1 || len(s.Part("n2")) != 1 {
			t.Errorf("read from the store: %v", err)
		}
		if s, err := w.c.At(w.ctx, rev); err != nil || s.Get(w.key("a")) != cur.Get(w.key("a")) {
			t.Errorf("an entry was made twice: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if _, err := w.c.At(w.ctx, first); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("a token that is too old: %v", err)
		}
	})
}

func TestWatchScopes(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.create("a", "n1")
		start := a - 1
		all := w.watch(Scope{}, start)
		w.want(all, fmt.Sprintf("+a@%d", a))

		// Cursors that join later and want history, and such that want none.
		key := w.watch(Scope{Key: w.key("a")}, start)
		n1 := w.watch(Scope{Part: "n1"}, start)
		n2 := w.watch(Scope{Part: "n2"}, a)
		ns := w.watch(Scope{Prefix: "/registry/pods/other/"}, start)
		w.want(key, fmt.Sprintf("+a@%d", a))
		w.want(n1, fmt.Sprintf("+a@%d", a))

		b := w.create("b", "")
		b2 := w.update("b", "n2", b)
		a2 := w.update("a", "n2", a)
		a3 := w.delete("a", a2)
		w.want(all, fmt.Sprintf("+b@%d", b), fmt.Sprintf("~b@%d", b2), fmt.Sprintf("~a@%d", a2), fmt.Sprintf("-a@%d", a3))
		w.want(key, fmt.Sprintf("~a@%d", a2), fmt.Sprintf("-a@%d", a3))
		w.want(n1, fmt.Sprintf("~a@%d", a2)) // it leaves the node: the node is told once
		w.want(n2, fmt.Sprintf("~b@%d", b2), fmt.Sprintf("~a@%d", a2), fmt.Sprintf("-a@%d", a3))
		w.want(ns)
		if ns.Progress() != a3 {
			t.Errorf("progress of a silent watch is %d, want %d", ns.Progress(), a3)
		}
		for _, cu := range []*Cursor{key, n1, n2, ns, all} {
			cu.Close()
			cu.Close()
		}
		if n := len(w.c.mu.keys) + len(w.c.mu.parts); n != 0 {
			t.Errorf("%d partitions left", n)
		}
	})
}

func TestDeletedEventCarriesLastState(t *testing.T) {
	for _, decoded := range []bool{false, true} {
		inWorld(t, func(w *world) {
			a := w.create("a", "n1")
			cu := w.watch(Scope{}, a)
			if s, _ := w.c.Snapshot(w.ctx, a); decoded {
				s.Get(w.key("a")).Object()
			}
			d := w.delete("a", a)
			synctest.Wait()
			events, err := cu.Take()
			if err != nil || len(events) != 1 || events[0].Type != Deleted {
				t.Fatalf("%v %v", events, err)
			}
			o, err := events[0].Entry.Object()
			if err != nil || o.GetName() != "a" || o.GetResourceVersion() != fmt.Sprint(d) || o.GetObjectKind().GroupVersionKind() != pods.GVK() {
				t.Errorf("deleted object %v %v", o, err)
			}
			prev, _ := events[0].Prev.Object()
			if prev.GetResourceVersion() != fmt.Sprint(a) {
				t.Errorf("the object before has resourceVersion %s", prev.GetResourceVersion())
			}
		})
	}
}

func TestNextWaitsAndWakes(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.create("a", "")
		cu := w.watch(Scope{Key: w.key("a")}, a)
		type answer struct {
			events   []Event
			progress int64
		}
		got := make(chan answer)
		wake := make(chan struct{})
		go func() {
			for {
				events, err := cu.Next(w.ctx, wake)
				if err != nil {
					close(got)
					return
				}
				got <- answer{events, cu.Progress()}
			}
		}()
		w.create("b", "")
		synctest.Wait()
		select {
		case e := <-got:
			t.Fatalf("woken for nothing: %v", e)
		default:
		}
		// What is written elsewhere counts as progress too.
		b, err := w.st.Create(w.ctx, "/registry/other/x", []byte("x"), 0)
		if err != nil {
			t.Fatal(err)
		}
		wake <- struct{}{}
		if e := <-got; len(e.events) != 0 || e.progress != b {
			t.Errorf("after wake: %v, want progress %d", e, b)
		}
		w.update("a", "", a)
		if e := <-got; len(e.events) != 1 || e.events[0].Type != Modified {
			t.Errorf("events %v", e)
		}
		w.stop()
		if _, open := <-got; open {
			t.Error("next outlived its context")
		}
	})
}

func TestCursorFallsOutOfLog(t *testing.T) {
	inWorld(t, func(w *world) {
		rev := w.create("a", "n1")
		all, node := w.watch(Scope{}, rev), w.watch(Scope{Part: "n1"}, rev)
		start := rev
		for range 400 {
			rev = w.update("a", "n1", rev)
		}
		w.drain(w.watch(Scope{}, start)) // all 400 are there still
		time.Sleep(3 * keepFor)
		for name, cu := range map[string]*Cursor{"all": all, "node": node} {
			if _, err := cu.Next(w.ctx, nil); !errors.Is(err, store.ErrCompacted) {
				t.Errorf("%s: a cursor %d events and minutes behind: %v", name, 400, err)
			}
		}
		if _, err := w.c.Watch(Scope{}, start); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("a watch from before the log: %v", err)
		}
		late := w.watch(Scope{Part: "n1"}, rev-keepMin)
		if n := len(w.drain(late)); n != keepMin {
			t.Errorf("%d events of the last %d", n, keepMin)
		}
	})
}

// broken makes a store whose watches end as told.
type broken struct {
	*memory.Store
	end chan error
}

func (b *broken) Watch(ctx context.Context, prefix string, after int64, fn func([]store.Event) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case err := <-b.end:
			cancel(err)
		case <-ctx.Done():
		}
	}()
	if err := b.Store.Watch(ctx, prefix, after, fn); err != nil {
		return err
	}
	return context.Cause(ctx)
}

func TestReloadOnLostHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &broken{memory.New(), make(chan error)}
		w := &world{t: t, st: st.Store}
		w.ctx, w.stop = context.WithCancel(t.Context())
		w.c = New(pods, st, nil, quiet)
		done := make(chan struct{})
		go func() { defer close(done); w.c.Run(w.ctx) }()
		<-w.c.Ready()
		a := w.create("a", "n1")
		synctest.Wait()
		cu := w.watch(Scope{}, a)

		st.end <- store.ErrUnready // the watch resumes where it was
		b := w.create("b", "n1")
		time.Sleep(time.Second)
		w.want(cu, fmt.Sprintf("+b@%d", b))

		w.watch(Scope{Part: "n1"}, b)
		old, _ := w.c.Snapshot(w.ctx, 0)
		st.end <- store.ErrCompacted
		synctest.Wait()
		x := w.delete("a", a)
		s, err := w.c.Snapshot(w.ctx, x)
		if err != nil || s.Len("") != 1 {
			t.Fatalf("after the reload: %v", err)
		}
		if _, err := cu.Take(); !errors.Is(err, store.ErrCompacted) {
			t.Errorf("a cursor outlived lost history: %v", err)
		}
		if old.Len("") != 2 {
			t.Error("an old snapshot changed")
		}
		w.stop()
		<-done
	})
}

func TestLoadByPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, st: memory.New()}
		w.ctx, w.stop = context.WithCancel(t.Context())
		n := 2*store.PageSize + 1
		for i := range n {
			w.create(fmt.Sprintf("p%05d", i), fmt.Sprintf("n%d", i%7))
		}
		w.st.Create(w.ctx, "/registry/podsecurity/x", []byte("x"), 0) // a neighbour by name
		w.c = New(pods, w.st, nil, quiet)
		done := make(chan struct{})
		go func() { defer close(done); w.c.Run(w.ctx) }()
		<-w.c.Ready()
		s, _ := w.c.Snapshot(w.ctx, 0)
		if s.Len("") != n || s.Len("/registry/pods/") != n || s.Len("/registry/pods/d/p0000") != 10 || len(s.Part("n3")) != n/7 {
			t.Errorf("%d pods, %d by prefix, %d on n3", s.Len(""), s.Len("/registry/pods/d/p0000"), len(s.Part("n3")))
		}
		var keys []string
		s.Ascend("/registry/pods/d/", w.key("p00998"), func(e *Entry) bool { keys = append(keys, e.Key); return len(keys) < 2 })
		if fmt.Sprint(keys) != fmt.Sprint([]string{w.key("p00998"), w.key("p00999")}) {
			t.Errorf("ascend: %v", keys)
		}
		w.stop()
		<-done
	})
}
