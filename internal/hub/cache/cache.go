package cache

import (
	"context"
	"log/slog"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/store"
)

// Entry is one version of one object. Its forms are made at most once and are frozen.
type Entry struct {
	Key      string
	Revision int64
	// … unexported: stored bytes, lazily made forms
}

// Object returns the decoded object with resourceVersion, apiVersion and kind set, defaulted.
func (e *Entry) Object() (api.Object, error) { panic("todo") }

// JSON returns the object's JSON with resourceVersion set, no newline at its end.
func (e *Entry) JSON() ([]byte, error) { panic("todo") }

// Proto returns the object's protobuf message with resourceVersion set: the bare message, without the "k8s\0" envelope,
// as it stands inside a list's items field.
func (e *Entry) Proto() ([]byte, error) { panic("todo") }

// Stored returns the store's bytes.
func (e *Entry) Stored() []byte { panic("todo") }

// EventType is what happened to an object.
type EventType uint8

// The kinds of events; Bookmark carries only a revision.
const (
	Added EventType = iota + 1
	Modified
	Deleted
	Bookmark
)

// Event is one change of a kind's log. Prev is the entry before it (nil for Added); for Deleted, Entry is the last state
// of the object with Revision set to that of the deletion.
type Event struct {
	Type     EventType
	Revision int64
	Entry    *Entry
	Prev     *Entry
}

// Cache serves one stored kind.
type Cache struct {
	// …
}

// New makes the cache of kind over st. It does nothing until Run.
func New(kind *api.Kind, st store.Store, log *slog.Logger) *Cache { panic("todo") }

// Run loads the kind by pages and then follows the store's watch until ctx ends; it reloads when history is lost.
func (c *Cache) Run(ctx context.Context) error { panic("todo") }

// Ready is closed when the first load is done.
func (c *Cache) Ready() <-chan struct{} { panic("todo") }

// Kind is the kind it serves.
func (c *Cache) Kind() *api.Kind { panic("todo") }

// Snapshot returns the newest snapshot whose revision is at least min, waiting for it if needed (the caller's ctx bounds
// the wait). min 0 takes what is there.
func (c *Cache) Snapshot(ctx context.Context, min int64) (*Snapshot, error) { panic("todo") }

// Current is the revision that "most recent" means now: the store's. Pass it to Snapshot.
func (c *Cache) Current(ctx context.Context) (int64, error) { panic("todo") }

// At returns the retained snapshot of exactly that revision's state, or store.ErrCompacted when it is kept no more.
func (c *Cache) At(ctx context.Context, revision int64) (*Snapshot, error) { panic("todo") }

// Learn hands over what this process has just written at entry's revision, so that the feed need not decode it. The entry
// becomes visible only when the store's watch reaches its revision.
func (c *Cache) Learn(key string, revision int64, stored []byte, obj api.Object) *Entry {
	panic("todo")
}

// Snapshot is an immutable view of a kind at a revision.
type Snapshot struct {
	Revision int64
	// …
}

// Get returns the entry at key or nil.
func (s *Snapshot) Get(key string) *Entry { panic("todo") }

// Ascend calls fn for every entry whose key starts with prefix and is >= from, in key order, until fn returns false.
func (s *Snapshot) Ascend(prefix, from string, fn func(*Entry) bool) { panic("todo") }

// Len counts the entries under prefix; exact and cheap for the whole kind.
func (s *Snapshot) Len(prefix string) int { panic("todo") }

// ByNode returns the pods of one node in key order (only the pods cache keeps this index).
func (s *Snapshot) ByNode(node string) []*Entry { panic("todo") }

// Scope narrows a watch so that a partition of the log can serve it. At most one of Key and Node is set.
type Scope struct {
	Prefix string // keys that start with it
	Key    string // just this key
	Node   string // pods whose spec.nodeName is, or was before the event, this
}

// Cursor is a place in the log.
type Cursor struct{}

// Watch returns a cursor that will yield every event of scope with a revision above after. It fails with
// store.ErrCompacted when the log no longer reaches back that far.
func (c *Cache) Watch(scope Scope, after int64) (*Cursor, error) { panic("todo") }

// Next blocks until there are events and returns all that are there (the slice is valid until the next call). It returns
// store.ErrCompacted when the cursor has fallen out of the log, and ctx's error when that ends. When wake is closed first it
// returns no events and no error, so that the caller can send a bookmark; Progress tells up to where nothing was missed.
func (cu *Cursor) Next(ctx context.Context, wake <-chan struct{}) ([]Event, error) { panic("todo") }

// Progress is the revision up to which the cursor has yielded everything there is.
func (cu *Cursor) Progress() int64 { panic("todo") }

// Close lets go of the cursor's partition.
func (cu *Cursor) Close() { panic("todo") }
