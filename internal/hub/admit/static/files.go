package static

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/inotify"
)

// Files are the manifests of one plugin. A nil value has none.
type Files struct {
	plugin, dir string
	kinds       []*api.Kind
	metrics     *Metrics
	log         *slog.Logger

	now  atomic.Pointer[[][]api.Object] // by kind; never changed once it is there
	hash string                         // of what was read last; Follow's alone
}

// Open reads the folder of a plugin, named as upstream names it. An error is one that a server must not start with.
func Open(plugin, dir string, m *Metrics, log *slog.Logger) (*Files, error) {
	f := &Files{plugin: plugin, dir: dir, kinds: kindsOf(plugin), metrics: m, log: log}
	lists, hash, err := load(dir, f.kinds)
	if err != nil {
		what := "policy"
		if strings.HasSuffix(plugin, "Webhook") {
			what = "webhook"
		}
		return nil, fmt.Errorf("failed to initialize admission plugin %q: failed to load static %s manifests from %q: %w", plugin, what, dir, err)
	}
	f.now.Store(&lists)
	f.hash = hash
	log.Info("Loaded manifest-based admission configurations", "plugin", plugin, "count", len(lists[0]))
	m.loaded(plugin, hash)
	return f, nil
}

// Lists are the objects by kind, policies before their bindings, each in the order of their names; nil for none. They are frozen.
func (f *Files) Lists() [][]api.Object {
	if f == nil {
		return nil
	}
	return *f.now.Load()
}

const (
	every  = time.Minute            // how often the folder is read when nothing tells of a change
	settle = 100 * time.Millisecond // how long it has to be left alone after one: files are written in several steps
	hurry  = 2 * time.Second        // after which it is read all the same
)

// Follow reads the folder again when something in it has changed, and calls changed when there is another good state; it returns
// when ctx ends.
func (f *Files) Follow(ctx context.Context, changed func()) error {
	w, err := inotify.Open(ctx)
	if err != nil {
		f.log.Warn("watching manifest directory", "plugin", f.plugin, "dir", f.dir, "error", err)
		f.poll(ctx, changed)
		return nil
	}
	defer w.Close()
	for {
		if err := w.Add(f.dir, inotify.Changed); err != nil { // again each time: the folder may be another one by now
			f.log.Warn("watching manifest directory", "plugin", f.plugin, "dir", f.dir, "error", err)
		}
		f.reload(changed)
		_, err := w.Next(time.Now().Add(every))
		for late := time.Now().Add(hurry); err == nil && time.Now().Before(late); {
			_, err = w.Next(time.Now().Add(settle))
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch %s: %w", f.dir, err)
		}
	}
}

// poll stands in where there is no inotify.
func (f *Files) poll(ctx context.Context, changed func()) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			f.reload(changed)
		}
	}
}

func (f *Files) reload(changed func()) {
	lists, hash, err := load(f.dir, f.kinds)
	if err != nil {
		f.log.Error("reloading manifest config", "plugin", f.plugin, "dir", f.dir, "error", err)
		f.metrics.failed(f.plugin)
		return
	}
	if hash == f.hash {
		return
	}
	f.hash = hash
	f.now.Store(&lists)
	changed()
	f.log.Info("reloaded manifest config", "plugin", f.plugin, "dir", f.dir)
	f.metrics.loaded(f.plugin, hash)
}
