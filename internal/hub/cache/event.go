package cache

// EventType is what happened to an object.
type EventType uint8

// The kinds of events. A cursor never yields a Bookmark; it is there for those who make them from Cursor.Progress.
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
