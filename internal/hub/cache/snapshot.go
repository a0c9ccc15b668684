package cache

import (
	"strings"

	"github.com/google/btree"
)

const degree = 32

// placed is an entry in the index of the parts, ordered by the value of the partition field and then by key.
type placed struct {
	part string
	e    *Entry
}

func lessKey(a, b *Entry) bool { return a.Key < b.Key }

func lessPlace(a, b placed) bool {
	if a.part != b.part {
		return a.part < b.part
	}
	return a.e.Key < b.e.Key
}

// Snapshot is an immutable view of a kind at a revision.
type Snapshot struct {
	Revision int64

	byKey  *btree.BTreeG[*Entry]
	byPart *btree.BTreeG[placed] // nil for kinds without a partition field
	bad    map[string]*Entry     // what cannot be read; no other entry is at these keys
}

// Get returns the entry at key or nil.
func (s *Snapshot) Get(key string) *Entry {
	e, _ := s.byKey.Get(&Entry{Key: key})
	if e == nil && s.bad != nil {
		return s.bad[key]
	}
	return e
}

// Ascend calls fn for every entry whose key starts with prefix and is >= from, in key order, until fn returns false.
func (s *Snapshot) Ascend(prefix, from string, fn func(*Entry) bool) {
	s.byKey.AscendGreaterOrEqual(&Entry{Key: max(prefix, from)}, func(e *Entry) bool {
		return strings.HasPrefix(e.Key, prefix) && fn(e)
	})
}

// Len counts the entries under prefix. For the whole kind ("" or the kind's prefix) that is known; otherwise they are
// walked.
func (s *Snapshot) Len(prefix string) int {
	if lo, ok := s.byKey.Min(); !ok || strings.HasPrefix(lo.Key, prefix) {
		if hi, _ := s.byKey.Max(); !ok || strings.HasPrefix(hi.Key, prefix) {
			return s.byKey.Len()
		}
	}
	n := 0
	s.Ascend(prefix, "", func(*Entry) bool { n++; return true })
	return n
}

// Estimate is the number of objects, and about the size of one in bytes, as the first and the last have it.
func (s *Snapshot) Estimate() (objects, size int64) {
	first, ok := s.byKey.Min()
	if !ok {
		return 0, 0
	}
	last, _ := s.byKey.Max()
	return int64(s.byKey.Len()), int64(first.Size()+last.Size()) / 2
}

// Part returns the entries whose partition field has the value, in key order; none for a kind without such a field.
func (s *Snapshot) Part(value string) []*Entry {
	if s.byPart == nil {
		return nil
	}
	var out []*Entry
	s.byPart.AscendGreaterOrEqual(placed{value, &Entry{}}, func(p placed) bool {
		if p.part != value {
			return false
		}
		out = append(out, p.e)
		return true
	})
	return out
}
