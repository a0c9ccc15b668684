package verb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/cache"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/store"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// InitialEventsEnd is the annotation of the bookmark that ends the initial events.
const InitialEventsEnd = metav1.InitialEventsAnnotationKey

const (
	bookmarkEvery = time.Minute
	batch         = 500 // initial events handed out at a time
	keepOut       = 16  // events that an idle watch keeps room for
)

// Event is one event of a watch: an object that came, changed or went; a bookmark; or an error with a Status.
type Event struct {
	Type watch.EventType
	Item Result
}

// Stream is one watch. One goroutine calls Next until it returns an error, then Close.
type Stream struct {
	sel    selection
	cursor *cache.Cursor
	out    []Event

	initial []*cache.Entry // still to be sent as ADDED
	endMark bool           // the bookmark after the initial events is still to be sent
	after   int64          // events up to here are not for this watch
	sent    int64          // revision of the last event or bookmark

	bookmarks bool
	deadline  time.Time // zero: none
	nextMark  time.Time
	failed    error // to be told as an ERROR event, which is the last
	last      error // to be returned next
}

// Watch starts a watch. One that has been understood and cannot be served, because its resourceVersion is too old or has
// not come yet, is a stream of one ERROR event, as upstream's: a client that was let in learns in the stream why it ends.
func (e *Engine) Watch(ctx context.Context, req *Request, opts metav1.ListOptions) (_ *Stream, err error) {
	opts.Watch = true
	legacy := opts.ResourceVersion == "" || opts.ResourceVersion == "0"
	if opts.SendInitialEvents == nil && opts.ResourceVersionMatch == "" && legacy {
		opts.SendInitialEvents, opts.ResourceVersionMatch = new(true), metav1.ResourceVersionMatchNotOlderThan
	}
	if err := checkListOptions(&opts); err != nil {
		return nil, err
	}
	t, err := e.target(req.Kind)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.release()
		}
	}()
	sel, err := selectionOf(t, req.Ref.Namespace, req.Ref.Name, opts)
	if err != nil {
		return nil, err
	}
	rev, err := parseRevision(opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	s := &Stream{sel: sel, bookmarks: opts.AllowWatchBookmarks}
	if opts.TimeoutSeconds != nil {
		s.deadline = time.Now().Add(time.Duration(*opts.TimeoutSeconds) * time.Second)
	}
	if s.bookmarks {
		s.nextMark = time.Now().Add(bookmarkEvery - time.Duration(rand.Int64N(int64(bookmarkEvery/4))))
	}
	initial := opts.SendInitialEvents != nil && *opts.SendInitialEvents
	if err := s.begin(ctx, opts.ResourceVersion, rev, initial); err != nil {
		if apierrors.IsServiceUnavailable(err) {
			return nil, err // there is nothing yet to be let in to
		}
		s.fail(err)
	}
	return s, nil
}

// begin places the cursor and collects the initial events.
func (s *Stream) begin(ctx context.Context, asked string, rev int64, initial bool) error {
	t := s.sel.t
	if initial || rev == 0 {
		snap, err := t.notOlder(ctx, asked)
		if err != nil {
			return err
		}
		s.after = snap.Revision
		if initial {
			err = s.sel.each(ctx, snap, "", func(en *cache.Entry) bool {
				s.initial = append(s.initial, en)
				return true
			})
			if err != nil {
				return err
			}
			s.endMark = s.bookmarks
		}
	} else {
		s.after = rev
	}
	s.sent = s.after
	if err := t.loaded(ctx); err != nil {
		return err
	}
	cursor, err := t.cache.Watch(s.sel.scope(), s.after)
	var old *cache.TooOldError
	if errors.As(err, &old) {
		return apierrors.NewResourceExpired(fmt.Sprintf("too old resource version: %d (%d)", old.After, old.Floor))
	}
	if err != nil {
		return storeError(err)
	}
	s.cursor = cursor
	return nil
}

// Close lets go of the stream's place in the log, and of the cache.
func (s *Stream) Close() {
	if s.cursor != nil {
		s.cursor.Close()
		s.cursor = nil
	}
	s.sel.t.release()
	s.sel.t.held = catalog.Held{}
}

// Begun reports whether what the watch begins with has been returned: the objects that there are, and their end.
func (s *Stream) Begun() bool { return len(s.initial) == 0 && !s.endMark }

// Next blocks until there are events and returns them; the slice is valid until the next call. io.EOF says that the watch
// has run its time; ctx's error that the caller has gone.
func (s *Stream) Next(ctx context.Context) ([]Event, error) {
	// What the caller is done with must not be held while nothing happens.
	clear(s.out)
	if s.out = s.out[:0]; cap(s.out) > keepOut {
		s.out = nil
	}
	for len(s.out) == 0 {
		if s.last != nil {
			return nil, s.last
		}
		var err error
		switch {
		case s.failed != nil:
			s.tell()
		case len(s.initial) > 0:
			s.sendInitial(ctx)
		case s.endMark:
			s.endMark = false
			err = s.bookmark(s.after, true)
		default:
			err = s.follow(ctx)
		}
		if err != nil {
			if len(s.out) == 0 {
				return nil, err
			}
			s.last = err
		}
	}
	return s.out, nil
}

func (s *Stream) sendInitial(ctx context.Context) {
	n := min(batch, len(s.initial))
	for _, en := range s.initial[:n] {
		if err := s.emit(ctx, watch.Added, en); err != nil {
			s.fail(err)
			return
		}
	}
	if s.initial = s.initial[n:]; len(s.initial) == 0 {
		s.initial = nil
	}
}

// follow waits for the next events of the log, for the time of a bookmark or for the end of the watch.
func (s *Stream) follow(ctx context.Context) error {
	wake, stop := s.alarm()
	events, err := s.cursor.Next(ctx, wake)
	stop()
	if err != nil {
		if errors.Is(err, store.ErrCompacted) {
			s.fail(apierrors.NewResourceExpired(watchExpired))
			return nil
		}
		if errors.Is(err, cache.ErrGone) {
			s.fail(gone(err))
			return nil
		}
		if errors.Is(err, cache.ErrReplaced) {
			return io.EOF
		}
		return err
	}
	for i := range events {
		if err := s.take(ctx, &events[i]); err != nil {
			s.fail(err) // an object that cannot be shown as what was asked for: the watcher is told, and has to list
			return nil
		}
	}
	at := time.Now()
	if over := !s.deadline.IsZero() && !at.Before(s.deadline); over {
		if s.bookmarks {
			if err := s.mark(); err != nil {
				return err
			}
		}
		s.last = io.EOF
		if len(s.out) == 0 {
			return io.EOF
		}
		return nil
	}
	if s.bookmarks && !at.Before(s.nextMark) {
		s.nextMark = at.Add(bookmarkEvery)
		return s.mark()
	}
	return nil
}

// alarm is a channel that is closed when a bookmark is due or the watch is over; nil when neither will be.
func (s *Stream) alarm() (<-chan struct{}, func()) {
	at := s.deadline
	if s.bookmarks && (at.IsZero() || s.nextMark.Before(at)) {
		at = s.nextMark
	}
	if at.IsZero() {
		return nil, func() {}
	}
	wake := make(chan struct{})
	timer := time.AfterFunc(time.Until(at), func() { close(wake) })
	return wake, func() { timer.Stop() }
}

// take turns an event of the log into what it means for the selection: an object that begins to match comes, one that ends
// to match goes.
func (s *Stream) take(ctx context.Context, ev *cache.Event) error {
	if ev.Revision <= s.after || ev.Type == cache.Bookmark {
		return nil
	}
	var now, before bool
	var err error
	if ev.Type != cache.Deleted {
		if now, err = s.sel.matches(ctx, ev.Entry); err != nil {
			return err
		}
	}
	if ev.Prev != nil {
		if before, err = s.sel.matches(ctx, ev.Prev); err != nil {
			return err
		}
	} else if ev.Type == cache.Deleted {
		if before, err = s.sel.matches(ctx, ev.Entry); err != nil {
			return err
		}
	}
	switch {
	case now && before:
		err = s.emit(ctx, watch.Modified, ev.Entry)
	case now:
		err = s.emit(ctx, watch.Added, ev.Entry)
	case before && ev.Type == cache.Deleted:
		err = s.emit(ctx, watch.Deleted, ev.Entry)
	case before:
		err = s.left(ctx, ev)
	default:
		return nil
	}
	s.sent = ev.Revision
	return err
}

// left tells of an object that is still there but no longer selected: its last selected state, at the new revision.
func (s *Stream) left(ctx context.Context, ev *cache.Event) error {
	old, err := s.sel.t.object(ctx, ev.Prev)
	if err != nil {
		return err
	}
	obj := old.DeepCopyObject().(api.Object)
	obj.SetResourceVersion(strconv.FormatInt(ev.Revision, 10))
	item, err := s.sel.t.made(ctx, obj)
	if err != nil {
		return err
	}
	s.out = append(s.out, Event{Type: watch.Deleted, Item: item})
	return nil
}

func (s *Stream) emit(ctx context.Context, t watch.EventType, en *cache.Entry) error {
	item, err := s.sel.t.result(ctx, en)
	if err != nil {
		return err
	}
	s.out = append(s.out, Event{Type: t, Item: item})
	return nil
}

// mark sends a bookmark if the log has moved since the last thing that was sent.
func (s *Stream) mark() error {
	at := s.cursor.Progress()
	if at <= s.sent {
		return nil
	}
	return s.bookmark(at, false)
}

func (s *Stream) bookmark(rev int64, end bool) error {
	obj := s.sel.t.kind.New()
	obj.GetObjectKind().SetGroupVersionKind(s.sel.t.kind.GVK())
	obj.SetResourceVersion(strconv.FormatInt(rev, 10))
	if end {
		obj.SetAnnotations(map[string]string{InitialEventsEnd: "true"})
	}
	s.sent = rev
	s.out = append(s.out, Event{Type: watch.Bookmark, Item: Made(obj)})
	return nil
}

// fail ends the stream with err: nothing but the event that tells of it is still to be sent.
func (s *Stream) fail(err error) {
	s.failed = err
	s.initial, s.endMark = nil, false
}

// tell makes the event of what has failed.
func (s *Stream) tell() {
	st := metav1.Status{Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError, Message: s.failed.Error()}
	var known apierrors.APIStatus
	if errors.As(s.failed, &known) {
		st = known.Status()
	}
	st.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
	s.out = append(s.out, Event{Type: watch.Error, Item: Made(&st)})
	s.failed, s.last = nil, io.EOF
}
