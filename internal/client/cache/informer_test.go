package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
)

// hub is a small fake of the hub's read side: enough to break in the ways an informer must survive.
type hub struct {
	client.Reader
	mu      sync.Mutex
	rev     int
	objs    map[string]*corev1.ConfigMap
	watches map[*feed]struct{}
	lists   []string          // the resourceVersions that were asked for
	fail    error             // what list and watch answer
	tooOld  int               // watches from before it are expired
	answer  func(*feed) error // how watches are answered until the next list; nil: well
	page    int
}

type feed struct {
	h  *hub
	ch chan watch.Event
}

func (f *feed) ResultChan() <-chan watch.Event { return f.ch }
func (f *feed) Stop() {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	f.h.endLocked(f)
}

func newHub() *hub {
	return &hub{rev: 10, objs: map[string]*corev1.ConfigMap{}, watches: map[*feed]struct{}{}}
}

func (h *hub) endLocked(f *feed) {
	if _, ok := h.watches[f]; ok {
		delete(h.watches, f)
		close(f.ch)
	}
}

func (h *hub) List(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (*client.List, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists = append(h.lists, opts.ResourceVersion)
	h.answer = nil
	if h.fail != nil {
		return nil, h.fail
	}
	l := &client.List{ResourceVersion: strconv.Itoa(h.rev)}
	names := slices.Sorted(maps.Keys(h.objs))
	for n, name := range names {
		if name <= opts.Continue {
			continue
		}
		if h.page > 0 && len(l.Items) == h.page {
			l.Continue = names[n-1]
			break
		}
		l.Items = append(l.Items, h.objs[name])
	}
	return l, nil
}

func (h *hub) Watch(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (watch.Interface, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fail != nil {
		return nil, h.fail
	}
	f := &feed{h, make(chan watch.Event, 100)}
	if rv, _ := strconv.Atoi(opts.ResourceVersion); rv < h.tooOld {
		st := apierrors.NewResourceExpired("too old").Status()
		f.ch <- watch.Event{Type: watch.Error, Object: &st}
	}
	h.watches[f] = struct{}{}
	if h.answer != nil {
		if err := h.answer(f); err != nil {
			h.endLocked(f)
			return nil, err
		}
	}
	return f, nil
}

func (h *hub) send(t watch.EventType, o runtime.Object) {
	for f := range h.watches {
		f.ch <- watch.Event{Type: t, Object: o}
	}
}

// put writes an object; told says whether the watches hear of it.
func (h *hub) put(name, uid string, told bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rev++
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: name, UID: types.UID(uid), ResourceVersion: strconv.Itoa(h.rev), Labels: map[string]string{"u": uid}}}
	t := watch.Added
	if h.objs[name] != nil {
		t = watch.Modified
	}
	h.objs[name] = o
	if told {
		h.send(t, o)
	}
}

func (h *hub) del(name string, told bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rev++
	o := h.objs[name].DeepCopy()
	o.ResourceVersion = strconv.Itoa(h.rev)
	delete(h.objs, name)
	if told {
		h.send(watch.Deleted, o)
	}
}

// drop ends all watches, first saying err if not nil.
func (h *hub) drop(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var st apierrors.APIStatus
	if errors.As(err, &st) {
		s := st.Status()
		h.send(watch.Error, &s)
	}
	for f := range h.watches {
		h.endLocked(f)
	}
}

func (h *hub) set(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// tape records what a handler is told.
type tape struct{ said []string }

func (p *tape) handler() Handler[*corev1.ConfigMap] {
	note := func(c string, o *corev1.ConfigMap) { p.said = append(p.said, c+o.Name+"/"+string(o.UID)) }
	return Handler[*corev1.ConfigMap]{
		Add:    func(o *corev1.ConfigMap) { note("+", o) },
		Update: func(old, o *corev1.ConfigMap) { note("~", o) },
		Delete: func(o *corev1.ConfigMap) { note("-", o) },
	}
}

func (p *tape) want(t *testing.T, sorted bool, want ...string) {
	t.Helper()
	synctest.Wait()
	if sorted {
		slices.Sort(p.said)
	}
	if fmt.Sprint(p.said) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", p.said, want)
	}
	p.said = nil
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// inBubble runs f with an informer that runs.
func inBubble(t *testing.T, f func(h *hub, i *Informer[*corev1.ConfigMap], p *tape)) {
	synctest.Test(t, func(t *testing.T) {
		h, p := newHub(), &tape{}
		h.put("a", "1", true)
		h.put("b", "1", true)
		i := New[*corev1.ConfigMap](h, client.ConfigMaps, Options{}, quiet)
		i.AddIndex("uid", func(o *corev1.ConfigMap) []string { return []string{string(o.UID)} })
		i.Handle(p.handler())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); i.Run(ctx) }()
		<-i.Synced()
		p.want(t, true, "+a/1", "+b/1")
		f(h, i, p)
		cancel()
		<-done
		if len(h.watches) != 0 {
			t.Errorf("%d watches left open", len(h.watches))
		}
	})
}

func TestFollow(t *testing.T) {
	inBubble(t, func(h *hub, i *Informer[*corev1.ConfigMap], p *tape) {
		h.put("a", "1", true)
		h.put("c", "2", true)
		h.del("b", true)
		p.want(t, false, "~a/1", "+c/2", "-b/1")
		if i.Len() != 2 || len(i.List("d")) != 2 || len(i.List("x")) != 0 || len(i.ByIndex("uid", "1")) != 1 || len(i.ByIndex("uid", "2")) != 1 {
			t.Errorf("view: %v", i.List(""))
		}
		if o, ok := i.Get("d", "a"); !ok || o != h.objs["a"] {
			t.Error("the view does not share the object")
		}
		if _, ok := i.Get("d", "b"); ok {
			t.Error("b is still there")
		}
		if i.Revision() != strconv.Itoa(h.rev) {
			t.Errorf("revision %s", i.Revision())
		}
	})
}

// TestFirstListIsTheNewest: who starts has all that was written before it, unless the hub cannot say what that is.
func TestFirstListIsTheNewest(t *testing.T) {
	for name, c := range map[string]struct {
		fail error
		want []string
	}{
		"well":                  {nil, []string{""}},
		"nobody there":          {&url.Error{Op: "Get", Err: syscall.ECONNREFUSED}, []string{"", ""}},
		"too many requests":     {apierrors.NewTooManyRequests("later", 1), []string{"", ""}},
		"store does not answer": {apierrors.NewServiceUnavailable("no leader"), []string{"", "0"}},
		"store is slow":         {apierrors.NewTimeoutError("slow", 0), []string{"", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHub()
				h.fail = c.fail
				i := New[*corev1.ConfigMap](h, client.ConfigMaps, Options{}, quiet)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); i.Run(ctx) }()
				synctest.Wait()
				h.set(func() { h.fail = nil })
				<-i.Synced()
				cancel()
				<-done
				if !slices.Equal(h.lists, c.want) {
					t.Errorf("lists %q, want %q", h.lists, c.want)
				}
			})
		})
	}
}

func TestBookmarkAndResume(t *testing.T) {
	inBubble(t, func(h *hub, i *Informer[*corev1.ConfigMap], p *tape) {
		h.set(func() {
			h.rev = 99
			h.send(watch.Bookmark, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "99"}})
			h.tooOld = 99
		})
		synctest.Wait()
		h.drop(nil)
		time.Sleep(time.Second)
		h.put("c", "1", true)
		p.want(t, false, "+c/1")
		if len(h.lists) != 1 {
			t.Errorf("lists %v: a watch that ends is resumed, not relisted", h.lists)
		}
	})
}

// TestRelistTellsTheDifference has watches end in every way that says, or lets one guess, that they cannot be resumed.
func TestRelistTellsTheDifference(t *testing.T) {
	// refuse has the watches that are open end with nothing, and the next ones answered by how, until a list was asked for.
	refuse := func(how func(f *feed) error) func(h *hub) {
		return func(h *hub) {
			h.set(func() { h.answer = how })
			h.drop(nil)
		}
	}
	say := func(events ...watch.Event) func(h *hub) {
		return refuse(func(f *feed) error {
			for _, ev := range events {
				f.ch <- ev
			}
			f.h.endLocked(f)
			return nil
		})
	}
	gone := func(reason metav1.StatusReason, code int32) *metav1.Status {
		return &metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason}
	}
	fail := func(err error) func(h *hub) { return refuse(func(*feed) error { return err }) }
	future := apierrors.NewTimeoutError("Too large resource version", 1)
	for name, expire := range map[string]func(h *hub){
		"expired in the middle of a stream":     func(h *hub) { h.drop(apierrors.NewResourceExpired("gone")) },
		"expired as the first event":            say(watch.Event{Type: watch.Error, Object: gone(metav1.StatusReasonExpired, 410)}),
		"gone as the first event":               say(watch.Event{Type: watch.Error, Object: gone(metav1.StatusReasonGone, 410)}),
		"a code without a reason":               say(watch.Event{Type: watch.Error, Object: gone("", 410)}),
		"an error that is no status":            say(watch.Event{Type: watch.Error, Object: &corev1.ConfigMap{}}),
		"an internal error":                     say(watch.Event{Type: watch.Error, Object: gone(metav1.StatusReasonInternalError, 500)}),
		"an object of another kind":             say(watch.Event{Type: watch.Added, Object: &corev1.Pod{}}),
		"a stream that is empty":                say(),
		"a stream that is empty, after a while": refuse(func(f *feed) error { time.AfterFunc(calm/2, f.Stop); return nil }),
		"refused as expired":                    fail(apierrors.NewResourceExpired("gone")),
		"refused as gone":                       fail(apierrors.NewGone("gone")), //nolint:staticcheck // what some servers send
		"refused as of the future":              fail(future),
		"refused as an internal error":          fail(apierrors.NewInternalError(errors.New("x"))),
		"refused as invalid":                    fail(apierrors.NewBadRequest("x")),
		"nobody there, and then a stream of 410s": func(h *hub) {
			awayThen(h, say(watch.Event{Type: watch.Error, Object: gone(metav1.StatusReasonExpired, 410)}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(h *hub, i *Informer[*corev1.ConfigMap], p *tape) {
				h.put("same", "1", true)
				p.want(t, false, "+same/1")
				h.put("a", "2", false) // made anew
				h.del("b", false)
				h.put("c", "1", false)
				expire(h)
				time.Sleep(time.Minute)
				p.want(t, true, "+a/2", "+c/1", "-a/1", "-b/1")
				h.put("d", "1", true)
				p.want(t, false, "+d/1")
				if len(h.lists) != 2 {
					t.Errorf("lists %v, want one more than the first", h.lists)
				}
			})
		})
	}
}

// awayThen has the hub go for a while and come back otherwise.
func awayThen(h *hub, then func(h *hub)) {
	h.set(func() { h.fail = &url.Error{Op: "Get", Err: syscall.ECONNREFUSED} })
	h.drop(nil)
	time.Sleep(20 * time.Second)
	then(h)
	h.set(func() { h.fail = nil })
}

// TestHubThatRestartsOften: each time the informer is back within moments, however short the hub lived in between.
func TestHubThatRestartsOften(t *testing.T) {
	for _, lives := range []time.Duration{time.Second, 5 * time.Second, time.Minute} {
		inBubble(t, func(h *hub, i *Informer[*corev1.ConfigMap], p *tape) {
			for n := range 20 {
				h.set(func() { h.fail = &url.Error{Op: "Get", Err: syscall.ECONNREFUSED} })
				h.drop(nil)
				time.Sleep(3 * time.Second)
				h.set(func() { h.fail, h.tooOld = nil, h.rev+1 })
				name := fmt.Sprint("c", n)
				h.put(name, "1", false)
				time.Sleep(3 * retryAway)
				p.want(t, false, "+"+name+"/1")
				time.Sleep(lives)
			}
		})
	}
}

// TestHubThatIsAwayIsFoundSoon: however long nobody answered, who answers again is asked within moments; one that answers that
// it is busy is given time.
func TestHubThatIsAwayIsFoundSoon(t *testing.T) {
	inBubble(t, func(h *hub, i *Informer[*corev1.ConfigMap], p *tape) {
		h.set(func() { h.fail = &url.Error{Op: "Get", Err: syscall.ECONNREFUSED} })
		h.drop(nil)
		for n := range 5 {
			time.Sleep(10 * time.Minute)
			h.set(func() { h.fail, h.tooOld = nil, h.rev })
			name := fmt.Sprint("c", n)
			h.put(name, "1", false)
			time.Sleep(2*retryAway + retryAway)
			p.want(t, false, "+"+name+"/1")
			h.set(func() { h.fail = &url.Error{Op: "Get", Err: syscall.ECONNREFUSED} })
			h.drop(apierrors.NewResourceExpired("gone"))
		}
	})
}

func TestBackoffWhileHubIsAway(t *testing.T) {
	inBubble(t, func(h *hub, i *Informer[*corev1.ConfigMap], p *tape) {
		h.set(func() { h.fail = apierrors.NewServiceUnavailable("away") })
		h.drop(apierrors.NewResourceExpired("gone"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if n := len(h.lists); n < 10 || n > 40 {
			t.Errorf("%d lists in ten minutes", n)
		}
		h.set(func() { h.fail = nil })
		h.put("c", "1", false)
		time.Sleep(2 * retryLast)
		p.want(t, false, "+c/1")
	})
}

func TestLateHandlerIsGreeted(t *testing.T) {
	inBubble(t, func(h *hub, i *Informer[*corev1.ConfigMap], p *tape) {
		late := &tape{}
		i.Handle(late.handler())
		late.want(t, true, "+a/1", "+b/1")
		h.put("a", "1", true)
		late.want(t, false, "~a/1")
		p.want(t, false, "~a/1")
	})
}

func TestPagedList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub()
		h.page = 2
		for n := range 5 {
			h.put(fmt.Sprint("o", n), "1", false)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s := NewSet(h, quiet)
		done := make(chan struct{})
		go func() { defer close(done); s.Run(ctx) }()
		i := For[*corev1.ConfigMap](s, client.ConfigMaps, Options{})
		if err := s.WaitSynced(ctx); err != nil || i.Len() != 5 {
			t.Errorf("%d objects, %v", i.Len(), err)
		}
		if For[*corev1.ConfigMap](s, client.ConfigMaps, Options{}) != i {
			t.Error("the set made a second informer")
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("another type for the same resource is taken")
				}
			}()
			For[*corev1.Pod](s, client.ConfigMaps, Options{})
		}()
		cancel()
		<-done
	})
}

var _ api.Object = (*corev1.ConfigMap)(nil)

// batched is a watch of batches.
type batched struct {
	watch.Interface
	c chan []watch.Event
}

func (b batched) Batches() <-chan []watch.Event { return b.c }

type batchDoor struct {
	client.Reader
	w batched
}

func (d batchDoor) List(context.Context, client.Ref, metav1.ListOptions) (*client.List, error) {
	return &client.List{ResourceVersion: "1"}, nil
}
func (d batchDoor) Watch(context.Context, client.Ref, metav1.ListOptions) (watch.Interface, error) {
	return d.w, nil
}

// What comes in one piece is taken in at once: the handlers are told in order, on a view that holds all of it.
func TestBatches(t *testing.T) {
	w := batched{watch.NewFake(), make(chan []watch.Event)}
	i := New[*corev1.ConfigMap](batchDoor{w: w}, client.ConfigMaps, Options{}, slog.New(slog.DiscardHandler))
	got := make(chan string, 10)
	say := func(what string, c *corev1.ConfigMap) {
		got <- fmt.Sprint(what, " ", c.Name, " of ", i.Len(), " at ", i.Revision())
	}
	i.Handle(Handler[*corev1.ConfigMap]{
		Add:    func(c *corev1.ConfigMap) { say("add", c) },
		Update: func(_, c *corev1.ConfigMap) { say("update", c) },
		Delete: func(c *corev1.ConfigMap) { say("delete", c) },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = i.Run(ctx) }()
	obj := func(name, rv string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID(name), ResourceVersion: rv}}
	}
	w.c <- []watch.Event{
		{Type: watch.Added, Object: obj("a", "2")}, {Type: watch.Added, Object: obj("b", "3")}, {Type: watch.Modified, Object: obj("a", "4")},
		{Type: watch.Deleted, Object: obj("b", "5")}, {Type: watch.Bookmark, Object: obj("", "9")},
	}
	for _, want := range []string{"add a of 1 at 9", "add b of 1 at 9", "update a of 1 at 9", "delete b of 1 at 9"} {
		if s := <-got; s != want {
			t.Errorf("%s, want %s", s, want)
		}
	}
	cancel()
	<-done
}
