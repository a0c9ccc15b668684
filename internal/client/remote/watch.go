package remote

import (
	"context"
	"sync"

	"k8s.io/apimachinery/pkg/watch"
)

// stream passes a client-go watch on until its context ends or Stop is called, and then just ends: client-go's own would
// sometimes tell, as an error event, that the connection it had closed is closed.
type stream struct {
	in      watch.Interface
	out     chan watch.Event
	once    sync.Once
	stopped chan struct{}
}

func newStream(ctx context.Context, in watch.Interface) *stream {
	s := &stream{in: in, out: make(chan watch.Event), stopped: make(chan struct{})}
	go s.pass(ctx)
	return s
}

func (s *stream) pass(ctx context.Context) {
	defer close(s.out)
	defer s.in.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.stopped:
			return
		case ev, open := <-s.in.ResultChan():
			if !open || ev.Type == watch.Error && s.over(ctx) {
				return
			}
			select {
			case s.out <- ev:
			case <-ctx.Done():
				return
			case <-s.stopped:
				return
			}
		}
	}
}

// over reports whether the watch has been given up by its owner.
func (s *stream) over(ctx context.Context) bool {
	select {
	case <-s.stopped:
		return true
	default:
		return ctx.Err() != nil
	}
}

// ResultChan implements watch.Interface.
func (s *stream) ResultChan() <-chan watch.Event { return s.out }

// Stop implements watch.Interface.
func (s *stream) Stop() { s.once.Do(func() { close(s.stopped) }) }
