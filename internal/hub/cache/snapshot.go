package cache

import (
	"strings"

	"github.com/google/btree"
)

const degree = 32

// placed is an entry in the node index, ordered by node and then key.
type placed struct {
	node string
	e    *Entry
}

func lessKey(a, b *Entry) bool { return a.Key < b.Key }

func lessPlace(a, b placed) bool {
	if a.node != b.node {
		return a.node < b.node
	}
	return a.e.Key < b.e.Key
}

// Snapshot is an immutable view of a kind at a revision.
type Snapshot struct {
	Revision int64

	byKey  *btree.BTreeG[*Entry]
	byNode *btree.BTreeG[placed] // nil but for pods
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

// ByNode returns the pods of one node in key order (only the pods cache keeps this index).
func (s *Snapshot) ByNode(node string) []*Entry {
	if s.byNode == nil {
		return nil
	}
	var out []*Entry
	s.byNode.AscendGreaterOrEqual(placed{node, &Entry{}}, func(p placed) bool {
		if p.node != node {
			return false
		}
		out = append(out, p.e)
		return true
	})
	return out
}
