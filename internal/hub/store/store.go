package store

import (
	"context"
	"errors"
	"fmt"
)

// KV is one stored value at one revision.
type KV struct {
	Key            string
	Value          []byte // must not be changed
	Revision       int64  // of the write that made this value (etcd: mod revision)
	CreateRevision int64  // of the write that made the key

	// Err says why Value, which is nil then, is not what was written (ErrDamaged). Lists, scans and watches go on behind it.
	Err error
	// Unchecked is set when nothing is known that Value could be compared with, in a store that mostly knows.
	Unchecked bool
}

// Event is one change. For a deletion Value is nil and Revision is that of the deletion. What was there before is not
// carried: the watch cache knows it, and asking etcd for it costs a read per event. An event with Progress set carries no
// key: it says that everything up to Revision has been delivered.
type Event struct {
	KV
	Deleted  bool
	Created  bool
	Progress bool
}

// Page asks for a part of a prefix.
type Page struct {
	Prefix   string // all keys that start with it
	From     string // start at this key, inclusive; "" is the beginning of the prefix
	Limit    int    // 0 is no limit
	Revision int64  // read as of this revision; 0 is now
}

// Listing is the answer to a Page.
type Listing struct {
	KVs      []KV  // in key order
	Revision int64 // as of which the listing is true
	More     bool  // there are more keys after the last one
	Count    int64 // keys in the range [From, end of prefix), the listed ones included
}

// Errors of a Store, to be tested with errors.Is. The concrete error carries the key and, for ErrConflict, what is there.
var (
	ErrExists    = errors.New("key exists")
	ErrNotFound  = errors.New("key not found")
	ErrConflict  = errors.New("revision has changed")
	ErrCompacted = errors.New("revision has been compacted")
	ErrFuture    = errors.New("revision is in the future")
	ErrTooLarge  = errors.New("value is too large")
	ErrUnready   = errors.New("store is not reachable")
	ErrDamaged   = errors.New("what is stored is damaged")
	ErrFull      = errors.New("the store takes no more values for now") // nothing was written; deletes and reads go on
)

// ConflictError says that the key is not at the expected revision; it is ErrConflict, or ErrNotFound when Current is nil.
type ConflictError struct {
	Key     string
	Current *KV // nil when the key is not there
}

func (e *ConflictError) Error() string {
	if e.Current == nil {
		return fmt.Sprintf("%s: %v", e.Key, ErrNotFound)
	}
	return fmt.Sprintf("%s at %d: %v", e.Key, e.Current.Revision, ErrConflict)
}

// Is makes errors.Is work with ErrConflict and ErrNotFound.
func (e *ConflictError) Is(target error) bool {
	return (target == ErrConflict && e.Current != nil) || (target == ErrNotFound && e.Current == nil)
}

// Store is the seam. All methods are safe for concurrent use; a write has been made durable when it returns.
type Store interface {
	// Get returns the value at key, linearizably, or ErrNotFound (with the store's revision in either case), or ErrDamaged.
	Get(ctx context.Context, key string) (kv KV, revision int64, err error)
	List(ctx context.Context, p Page) (Listing, error)
	// Create writes a key that must not be there (ErrExists). ttlSeconds > 0 lets it vanish after about that time. The value
	// of a write must not be changed afterwards.
	Create(ctx context.Context, key string, value []byte, ttlSeconds int64) (revision int64, err error)
	// Update writes a key that must be at revision expect; otherwise a *ConflictError that carries what is there.
	Update(ctx context.Context, key string, value []byte, expect, ttlSeconds int64) (revision int64, err error)
	// Delete removes a key that must be at revision expect; otherwise a *ConflictError.
	Delete(ctx context.Context, key string, expect int64) (revision int64, err error)
	// Watch delivers every change under prefix with a revision above after, in revision order and in batches, to fn, and
	// progress events soon after each RequestProgress for the prefix (and whenever the store likes). Changes made by one
	// transaction arrive in one batch; a batch with a progress event holds nothing else. It blocks until ctx ends (nil),
	// fn returns an error (that error), history is gone (ErrCompacted) or the store fails (ErrUnready; call it again with
	// the last revision seen).
	Watch(ctx context.Context, prefix string, after int64, fn func([]Event) error) error
	// RequestProgress asks that every watch on exactly this prefix learn soon that it has reached the current revision.
	RequestProgress(ctx context.Context, prefix string) error
	// Revision returns the revision that a reader of prefix has to have reached to have seen every write acknowledged so far:
	// the store's current one; with the embedded single member and memory, without a round trip. While a store has failed that
	// will come back, it is the newest that was acknowledged under prefix, because nothing tells the readers of one kind any
	// more that they have reached what was written to another.
	Revision(ctx context.Context, prefix string) (int64, error)
	// Compact forgets history before revision. Reads at and watches from before it then fail with ErrCompacted.
	Compact(ctx context.Context, revision int64) error
	// Close releases everything and waits for it.
	Close() error
}

// Sole is a Store that may know that nobody but this process writes to it.
type Sole interface {
	Store
	Sole() bool
}

// IsSole reports whether nobody but this process writes to a store.
func IsSole(st Store) bool {
	s, ok := st.(Sole)
	return ok && s.Sole()
}

// Write is one unconditional change among several.
type Write struct {
	Key        string
	Value      []byte // nil deletes the key, if it is there
	TTLSeconds int64
}

// Batcher is a Store that can make many changes for the price of a few.
type Batcher interface {
	Store
	// Apply makes the changes, each key's at most once, durable when it returns. When it fails, some may have been made; to
	// apply all of them once more does no harm.
	Apply(ctx context.Context, writes []Write) error
}
