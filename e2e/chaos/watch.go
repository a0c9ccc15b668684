package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

type list struct {
	Metadata metadata    `json:"metadata"`
	Items    []configMap `json:"items"`
}

// list returns the most recent state.
func (s *server) list() ([]configMap, int64, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*answerIn)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+collection, nil)
	if err != nil {
		return nil, 0, err
	}
	r, err := s.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer r.Body.Close()
	var l list
	if err := json.NewDecoder(r.Body).Decode(&l); err != nil || r.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("list: %d %v", r.StatusCode, err)
	}
	v, err := strconv.ParseInt(l.Metadata.ResourceVersion, 10, 64)
	return l.Items, v, err
}

// watcher follows the collection as an informer does, and judges every event.
type watcher struct {
	s  *server
	mu struct {
		sync.Mutex
		model   map[string]int64
		last    int64          // everything up to it has been shown
		shown   map[int64]bool // versions of events
		skipped [][2]int64     // what lies between was listed, not watched
		lists   int
		events  int
		errors  []string
	}
}

func newWatcher(s *server) *watcher {
	w := &watcher{s: s}
	w.mu.shown = map[int64]bool{}
	return w
}

// run lists and watches until ctx ends.
func (w *watcher) run(ctx context.Context) {
	for fresh := false; ctx.Err() == nil; time.Sleep(3 * time.Millisecond) {
		if !fresh {
			fresh = w.relist() == nil
			continue
		}
		fresh = w.follow(ctx)
	}
}

func (w *watcher) relist() error {
	items, at, err := w.s.list()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if at < w.mu.last {
		w.failLocked("a list is at %d, and %d has been shown", at, w.mu.last)
	}
	w.mu.skipped = append(w.mu.skipped, [2]int64{w.mu.last, at})
	w.mu.model, w.mu.last = map[string]int64{}, at
	w.mu.lists++
	for i := range items {
		w.mu.model[items[i].Metadata.Name] = items[i].version()
	}
	return nil
}

func (w *watcher) failLocked(format string, args ...any) {
	w.mu.errors = append(w.mu.errors, "watch: "+fmt.Sprintf(format, args...))
}

func (w *watcher) at() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.last
}

// follow watches from where it is; it is false when that is too long ago.
func (w *watcher) follow(ctx context.Context) bool {
	path := fmt.Sprintf("%s%s?watch=true&allowWatchBookmarks=true&resourceVersion=%d", w.s.url, collection, w.at())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return true
	}
	r, err := w.s.client.Do(req)
	if err != nil {
		return true
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return r.StatusCode != http.StatusGone
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<20)
	n := 0
	for lines.Scan() {
		var e struct {
			Type   string          `json:"type"`
			Object json.RawMessage `json:"object"`
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			return true // cut short by a kill
		}
		n++
		if e.Type == "ERROR" {
			var st struct {
				Code int `json:"code"`
			}
			_ = json.Unmarshal(e.Object, &st)
			return st.Code != http.StatusGone
		}
		var o configMap
		if json.Unmarshal(e.Object, &o) == nil {
			w.take(e.Type, &o)
		}
	}
	return true
}

// take judges one event.
func (w *watcher) take(typ string, o *configMap) {
	w.mu.Lock()
	defer w.mu.Unlock()
	name, v := o.Metadata.Name, o.version()
	_, had := w.mu.model[name]
	if v < w.mu.last || v == w.mu.last && typ != "BOOKMARK" {
		w.failLocked("%s %s at %d after %d", typ, name, v, w.mu.last)
	}
	w.mu.last = max(w.mu.last, v)
	if typ == "BOOKMARK" {
		return
	}
	w.mu.events++
	w.mu.shown[v] = true
	if had != (typ != "ADDED") {
		w.failLocked("%s %s at %d, and it was there: %v", typ, name, v, had)
	}
	if w.mu.model[name] = v; typ == "DELETED" {
		delete(w.mu.model, name)
	}
}

// judge waits until the watch has come to the end and compares what it has shown with what there is and was acknowledged.
func (w *watcher) judge(c *clients) error {
	items, at, err := w.s.list()
	if err != nil {
		return err
	}
	newest := int64(0)
	for i := range items {
		newest = max(newest, items[i].version())
	}
	for limit := time.Now().Add(30 * time.Second); w.at() < newest; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("the watch has come to %d of %d", w.at(), newest)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range items {
		name, v := items[i].Metadata.Name, items[i].version()
		if w.mu.model[name] != v {
			w.failLocked("%s is at %d, the watch has shown %d (list at %d)", name, v, w.mu.model[name], at)
		}
		delete(w.mu.model, name)
	}
	for name, v := range w.mu.model {
		w.failLocked("%s at %d has been shown and is not there", name, v)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for v, by := range c.mu.owners {
		if !w.mu.shown[v] && !w.listedLocked(v) {
			w.failLocked("%s at %d was acknowledged and never shown", by, v)
		}
	}
	return nil
}

func (w *watcher) listedLocked(v int64) bool {
	for _, s := range w.mu.skipped {
		if s[0] < v && v <= s[1] {
			return true
		}
	}
	return false
}
