package plugins

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"sampan.dev/internal/inotify"
)

// Handler takes the plugins of one type. Calls for one socket do not overlap; calls for several do.
type Handler interface {
	// Validate refuses a plugin that cannot be worked with. endpoint is the path of its service's socket.
	Validate(name, endpoint string, versions []string) error
	// Register takes a plugin that was validated; after an error nothing is left of it, and it is asked again later. ctx lasts until the
	// socket is gone, or the kubelet ends.
	Register(ctx context.Context, name, endpoint string, versions []string) error
	// Unregister drops a plugin whose socket is gone. It is not called when the kubelet ends: the plugin stays.
	Unregister(ctx context.Context, name, endpoint string)
}

// Folder is where below the kubelet's root plugins put their sockets.
const Folder = "plugins_registry"

// Watcher follows the sockets below a folder.
type Watcher struct {
	Dir      string             // <kubelet root>/plugins_registry; made when there is none
	Handlers map[string]Handler // by the type that plugins say: CSIPlugin, DRAPlugin, DevicePlugin
	Log      *slog.Logger

	known map[string]*socket // by path; the goroutine of Run's
	wait  sync.WaitGroup
}

// socket is one that is there, with the goroutine that serves it.
type socket struct {
	id   identity
	gone context.CancelFunc // its goroutine drops the plugin and ends
	done chan struct{}      // closed when it has
}

// identity tells a file from another that takes its place.
type identity struct {
	inode   uint64
	changed syscall.Timespec
}

// Run follows the folder until ctx ends. What it cannot watch it says, and returns.
func (w *Watcher) Run(ctx context.Context) {
	defer w.wait.Wait()
	w.known = map[string]*socket{}
	if err := w.follow(ctx); err != nil && ctx.Err() == nil {
		w.Log.Error("plugins are not looked for", "folder", w.Dir, "error", err)
	}
}

func (w *Watcher) follow(ctx context.Context) error {
	if err := os.MkdirAll(w.Dir, 0o750); err != nil {
		return err
	}
	in, err := inotify.Open(ctx)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := in.Add(w.Dir, inotify.Changed); err != nil {
		return err
	}
	for {
		found, folders, err := scan(w.Dir)
		if err != nil {
			return err
		}
		for _, dir := range folders {
			if err := in.Add(dir, inotify.Changed); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		w.take(ctx, found)
		if again, more, err := scan(w.Dir); err == nil && len(more) != len(folders) || err == nil && len(again) != len(found) {
			continue // something came into a folder before that was watched
		}
		if _, err := in.Next(time.Time{}); err != nil {
			return err
		}
	}
}

// scan lists the sockets below a folder, and the folders. What has a name that begins with a dot is not looked at.
func scan(dir string) (map[string]identity, []string, error) {
	found, folders := map[string]identity{}, []string(nil)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != dir:
			return nil // it has gone meanwhile
		case err != nil:
			return err
		case path == dir:
			return nil
		case strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			folders = append(folders, path)
			return nil
		case d.Type()&fs.ModeSocket == 0:
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		st := info.Sys().(*syscall.Stat_t)
		found[path] = identity{st.Ino, st.Ctim}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look for plugins: %w", err)
	}
	return found, folders, nil
}

// take begins with the sockets that have come, and ends with those that are gone.
func (w *Watcher) take(ctx context.Context, found map[string]identity) {
	for path, s := range w.known {
		if id, there := found[path]; !there || id != s.id {
			s.gone()
			if !there {
				delete(w.known, path)
			}
		}
	}
	for path, id := range found {
		old := w.known[path]
		if old != nil && old.id == id {
			continue
		}
		life, gone := context.WithCancel(ctx)
		s := &socket{id: id, gone: gone, done: make(chan struct{})}
		w.known[path] = s
		w.wait.Go(func() {
			defer close(s.done)
			defer gone()
			if old != nil {
				<-old.done
			}
			w.serve(ctx, life, path)
		})
	}
}
