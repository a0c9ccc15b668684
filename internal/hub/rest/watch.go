package rest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	"sampan.dev/internal/hub/verb"
	"sampan.dev/internal/hub/wire"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/streaming/pkg/httpstream/wsstream"
)

// minWatch is how long a watch lives that does not say, in seconds; up to twice as long, so that they do not end together.
const minWatch = 1800

func (c *call) watch() error {
	var opts metav1.ListOptions
	if err := c.options(&opts); err != nil {
		return err
	}
	if opts.TimeoutSeconds == nil || *opts.TimeoutSeconds == 0 {
		opts.TimeoutSeconds = new(minWatch + rand.Int64N(minWatch))
	}
	// A client that reads nothing keeps its watch no longer than one that does.
	life := time.Duration(*opts.TimeoutSeconds)*time.Second + requestTimeout
	boundAnswer(c.w, time.Now().Add(life))
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	defer c.s.cfg.WhenEnded(cancel)()
	s, err := c.s.cfg.Verbs.Watch(ctx, c.req, opts)
	if err != nil {
		return err
	}
	defer s.Close()
	if wsstream.IsWebSocketRequest(c.r) {
		return c.watchSocket(ctx, cancel, s, life)
	}
	f, err := c.out.NewFrames(c.w, c.req.Kind, initialEvents(&opts) && opts.AllowWatchBookmarks && wire.AcceptsGzip(c.r))
	if err != nil {
		return err
	}
	if err := f.Flush(); err != nil {
		return nil
	}
	c.pump(ctx, s, f)
	return nil
}

// initialEvents reports whether a watch begins with the objects that there are, by its options or by upstream's defaults.
func initialEvents(opts *metav1.ListOptions) bool {
	if opts.SendInitialEvents != nil {
		return *opts.SendInitialEvents
	}
	return opts.Watch && opts.ResourceVersionMatch == "" && (opts.ResourceVersion == "" || opts.ResourceVersion == "0")
}

// pump writes events until the stream ends or the client has gone. Everything that is there is written before one flush.
func (c *call) pump(ctx context.Context, s *verb.Stream, f *wire.Frames) {
	if k := c.req.Kind; k != nil {
		f.Sent = c.s.cfg.Metrics.WatchEvents(k.Group, k.Version, k.Resource)
	}
	for {
		if s.Begun() {
			c.x.stand()
		}
		events, err := s.Next(ctx)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return
		}
		if err != nil {
			f.Write(watch.Error, verb.Made(wire.StatusOf(err))) //nolint:errcheck // the stream ends here anyway
			f.Flush()                                           //nolint:errcheck // as above
			return
		}
		for _, ev := range events {
			if err := f.Write(ev.Type, ev.Item); err != nil {
				c.s.cfg.Log.Debug("watch event could not be written", "resource", c.req.Kind.Resource, "err", err)
				return
			}
		}
		if f.Flush() != nil {
			return
		}
	}
}
