package local

import (
	"context"
	"errors"
	"io"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/hub/wire"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Watch streams events.
func (d *Door) Watch(ctx context.Context, ref client.Ref, opts metav1.ListOptions) (watch.Interface, error) {
	req, done, err := d.request(ctx, "watch", ref, &opts)
	if err != nil {
		return nil, err
	}
	s, err := d.cfg.Verbs.Watch(ctx, req, opts)
	if err != nil {
		done(err)
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{events: make(chan watch.Event, 32), cancel: cancel}
	go func() {
		defer cancel()
		defer close(w.events)
		defer s.Close()
		done(w.pump(ctx, s))
	}()
	return w, nil
}

type watcher struct {
	events chan watch.Event
	cancel context.CancelFunc
}

// ResultChan is closed when the watch has ended.
func (w *watcher) ResultChan() <-chan watch.Event { return w.events }

// Stop ends the watch; it does not wait for it.
func (w *watcher) Stop() { w.cancel() }

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
		for _, ev := range events {
			obj, oerr := ev.Item.Object()
			if oerr != nil {
				return oerr
			}
			select {
			case w.events <- watch.Event{Type: ev.Type, Object: obj}:
			case <-ctx.Done():
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}
