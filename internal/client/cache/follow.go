package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"sampan.dev/internal/client"
)

// Waits between attempts that fail; each is stretched by up to its own length, so that the many clients of a hub that
// comes back do not come back together.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 30 * time.Second
	// retryAway is the longest wait while nobody answers: to ask costs a hub that is not there nothing, and what happens once
	// it is back must not wait for us.
	retryAway = time.Second
	// calm is how long a watch must have lasted for the next wait to be the first one again. One that ends sooner, without a
	// word, is taken for one that the hub does not want to go on with.
	calm = 10 * time.Second
	// watchFor is the least time after which the hub ends a watch by itself; it is stretched likewise.
	watchFor = 5 * time.Minute
)

// errRelist says that the watch cannot be resumed.
var errRelist = errors.New("watch cannot be resumed")

// errMute says that a watch ended at once and told nothing, as one does from a revision that some hubs no longer know.
var errMute = errors.New("watch ended at once without an event")

// Run lists, watches and relists (with backoff and jitter) until ctx ends.
func (i *Informer[T]) Run(ctx context.Context) error {
	i.greet()
	wait := retryFirst
	// The first list holds all that was written before it: who takes over from another must not do again what that one did. Later ones
	// must not be older than what we had.
	from := ""
	for ctx.Err() == nil {
		err := i.list(ctx, from)
		if err == nil {
			var went bool
			if went, err = i.watch(ctx); went {
				wait = retryFirst
			}
		}
		if ctx.Err() != nil {
			break
		}
		if errors.Is(err, errRelist) {
			i.log.Debug("relisting", "error", err)
		} else {
			i.log.Warn("list failed", "error", err)
		}
		from = i.next(err)
		wait = i.pause(ctx, wait, err)
	}
	return nil
}

// next is the revision of the next list after one that has failed, or a watch that has ended.
func (i *Informer[T]) next(err error) string {
	switch had := i.Revision(); {
	case expired(err) || apierrors.IsTimeout(err) && had != "" || apierrors.IsInvalid(err):
		return "" // the newest, whatever that is: the hub may have been restored from a backup
	case had == "" && !unanswered(err) && !apierrors.IsTooManyRequests(err):
		return "0" // a hub whose store does not answer may still have a state, which is better than none
	default:
		return had
	}
}

// pause sleeps for about wait, or less if err says that nobody answers, serving late handlers meanwhile, and returns the next
// wait.
func (i *Informer[T]) pause(ctx context.Context, wait time.Duration, err error) time.Duration {
	last := retryLast
	if unanswered(err) {
		last = retryAway
	}
	wait = min(wait, last)
	t := time.NewTimer(wait + rand.N(wait))
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return min(2*wait, last)
		case <-ctx.Done():
			return wait
		case <-i.late:
			i.greet()
		}
	}
}

// list replaces the view by what the hub has, not older than from.
func (i *Informer[T]) list(ctx context.Context, from string) error {
	opts := i.listOptions()
	opts.ResourceVersion = from
	var items []T
	for {
		l, err := i.door.List(ctx, i.ref, opts)
		if err != nil {
			return fmt.Errorf("list %s: %w", i.ref.Resource.Resource, err)
		}
		for _, o := range l.Items {
			obj, ok := o.(T)
			if !ok {
				return fmt.Errorf("list %s: item is %T", i.ref.Resource.Resource, o)
			}
			items = append(items, obj)
		}
		if l.Continue == "" {
			i.greet()
			i.replace(items, l.ResourceVersion)
			break
		}
		opts.Continue, opts.ResourceVersion = l.Continue, ""
	}
	select {
	case <-i.synced:
	default:
		close(i.synced)
	}
	return nil
}

func (i *Informer[T]) listOptions() metav1.ListOptions {
	return metav1.ListOptions{FieldSelector: i.opts.FieldSelector, LabelSelector: i.opts.LabelSelector}
}

// watch follows the resource from the view's revision on, over as many watches as it takes, until one cannot be resumed: it
// was answered by an error, or by nothing. Whatever the reason, to ask for the same again would get the same answer. went
// reports whether one went well before, or the hub was away meanwhile: then it is no hub that refuses again and again.
func (i *Informer[T]) watch(ctx context.Context) (went bool, err error) {
	wait := retryFirst
	for {
		began, from := time.Now(), i.Revision()
		err := i.stream(ctx)
		lasted, moved := time.Since(began), i.Revision() != from
		went = went || lasted >= calm || moved || unanswered(err)
		if err == nil && lasted < calm && !moved {
			err = errMute
		}
		switch {
		case ctx.Err() != nil:
			return went, nil
		case err == nil && lasted >= calm:
			wait = retryFirst
			continue
		case err == nil:
		case busy(err):
			i.log.Debug("watch broke off", "error", err)
		default:
			return went, fmt.Errorf("%w: %w", errRelist, err)
		}
		if lasted >= calm {
			wait = retryFirst
		}
		wait = i.pause(ctx, wait, err)
	}
}

// stream is one watch, to its end.
func (i *Informer[T]) stream(ctx context.Context) error {
	opts := i.listOptions()
	opts.ResourceVersion = i.Revision()
	opts.AllowWatchBookmarks = true
	seconds := int64((watchFor + rand.N(watchFor)) / time.Second)
	opts.TimeoutSeconds = &seconds
	w, err := i.door.Watch(ctx, i.ref, opts)
	if err != nil {
		return fmt.Errorf("watch %s: %w", i.ref.Resource.Resource, err)
	}
	defer w.Stop()
	var batches <-chan []watch.Event
	var single <-chan watch.Event
	if b, ok := w.(client.Batched); ok {
		batches = b.Batches()
	} else {
		single = w.ResultChan()
	}
	for {
		var events []watch.Event
		var open bool
		select {
		case <-ctx.Done():
			return nil
		case <-i.late:
			i.greet()
			continue
		case events, open = <-batches:
		case ev, more := <-single:
			events, open = append(events, ev), more
		}
		if !open {
			return nil
		}
		if err := i.take(events); err != nil {
			return err
		}
	}
}

// change is one that the handlers are told of: of obj, which took the place of old if had, or which is gone.
type change[T any] struct {
	old, obj  T
	had, gone bool
}

// most is how many events are taken in before the handlers are told.
const most = 256

// take applies events: first all to the view, under one lock, and then the handlers are told. What comes before one that is
// an error is applied.
func (i *Informer[T]) take(events []watch.Event) error {
	for len(events) > 0 {
		n := min(most, len(events))
		changes := make([]change[T], 0, n)
		err := i.apply(events[:n], &changes)
		for k := range changes {
			if c := &changes[k]; c.gone {
				i.gone(c.obj)
			} else {
				i.told(c.old, c.had, c.obj)
			}
		}
		if err != nil {
			return err
		}
		i.toldAll()
		events = events[n:]
	}
	return nil
}

func (i *Informer[T]) apply(events []watch.Event, changes *[]change[T]) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, ev := range events {
		if ev.Type == watch.Error {
			return fmt.Errorf("watch %s: %w", i.ref.Resource.Resource, apierrors.FromObject(ev.Object))
		}
		if ev.Type == watch.Bookmark {
			if m, ok := ev.Object.(metav1.Object); ok {
				i.mu.revision = m.GetResourceVersion()
			}
			continue
		}
		obj, ok := ev.Object.(T)
		if !ok {
			return fmt.Errorf("watch %s: event carries %T", i.ref.Resource.Resource, ev.Object)
		}
		switch ev.Type {
		case watch.Added, watch.Modified:
			old, had := i.mu.store.set(obj)
			*changes = append(*changes, change[T]{old: old, had: had, obj: obj})
		case watch.Deleted:
			if _, had := i.mu.store.remove(keyOf(obj)); had {
				*changes = append(*changes, change[T]{obj: obj, gone: true})
			}
		}
		i.mu.revision = obj.GetResourceVersion()
	}
	return nil
}

// expired reports whether err says that the history asked for is gone.
func expired(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}

// unanswered reports whether nobody was there to answer.
func unanswered(err error) bool {
	var network net.Error // a *url.Error is one
	return errors.As(err, &network)
}

// busy reports whether the request was not looked at, so that the same one may be answered later.
func busy(err error) bool {
	return unanswered(err) || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err)
}
