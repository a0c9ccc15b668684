package local

import (
	"context"
	"errors"
	"io"
	"sync"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/hub/wire"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// Watch streams events.
func (d *Door) Watch(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (watch.Interface, error) {
	ctx, req, done, err := d.request(ctx, "watch", ref, &opts)
	if err != nil {
		return nil, err
	}
	s, err := d.cfg.Verbs.Watch(ctx, req, opts)
	if err != nil {
		done(err)
		return nil, err
	}
	w := &watcher{metadata: ref.Metadata, batches: make(chan []watch.Event, 1), given: ctx.Done(), stopped: make(chan struct{})}
	w.single = sync.OnceValue(w.split)
	ctx, cancel := context.WithCancel(ctx)
	w.stop = sync.OnceFunc(func() { close(w.stopped); cancel() })
	forget := func() bool { return true }
	if d.cfg.WhenEnded != nil {
		forget = d.cfg.WhenEnded(cancel)
	}
	go func() {
		defer forget()
		defer cancel()
		defer close(w.batches)
		defer s.Close()
		done(w.pump(ctx, s))
	}()
	return w, nil
}

// watcher is a client.Batched.
type watcher struct {
	metadata bool // see client.Ref
	batches  chan []watch.Event
	single   func() <-chan watch.Event
	given    <-chan struct{} // closed with the context of the caller
	stopped  chan struct{}   // closed by Stop
	stop     func()
}

// Batches is closed when the watch has ended.
func (w *watcher) Batches() <-chan []watch.Event { return w.batches }

// ResultChan is closed when the watch has ended.
func (w *watcher) ResultChan() <-chan watch.Event { return w.single() }

// Stop ends the watch; it does not wait for it.
func (w *watcher) Stop() { w.stop() }

// split hands the events over one by one. When the stream has ended by itself what it said last, perhaps why, is still to be
// heard: only the owner ends this sooner.
func (w *watcher) split() <-chan watch.Event {
	events := make(chan watch.Event, 32)
	go func() {
		defer close(events)
		for batch := range w.batches {
			for _, ev := range batch {
				select {
				case events <- ev:
				case <-w.given:
					return
				case <-w.stopped:
					return
				}
			}
		}
	}()
	return events
}

// pump hands events over until the stream, the caller or its context ends.
func (w *watcher) pump(ctx context.Context, s *verb.Stream) error {
	for {
		events, err := s.Next(ctx)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			events = []verb.Event{{Type: watch.Error, Item: verb.Made(wire.StatusOf(err))}}
		}
		batch := make([]watch.Event, 0, len(events))
		for _, ev := range events {
			var obj runtime.Object
			var oerr error
			if w.metadata && ev.Item.Entry() != nil {
				obj, oerr = ev.Item.Metadata()
			} else {
				obj, oerr = ev.Item.Object() // bookmarks and errors among them
			}
			if oerr != nil { // the stream ends here, and says why
				batch, err = append(batch, watch.Event{Type: watch.Error, Object: wire.StatusOf(oerr)}), oerr
				break
			}
			batch = append(batch, watch.Event{Type: ev.Type, Object: obj})
		}
		select {
		case w.batches <- batch:
		case <-ctx.Done():
			return nil
		}
		if err != nil {
			return err
		}
	}
}
