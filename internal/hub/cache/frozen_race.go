//go:build race

package cache

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"

	"sampan.dev/internal/api"
)

// seal verifies in race builds that nobody changes an object that has been handed out: it keeps a hash of it, which is
// compared each time that the entry is asked for the object. It costs an encoding each time.
type seal struct {
	mu   sync.Mutex
	hash [sha256.Size]byte
}

func (s *seal) close(o api.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hash = hashOf(o)
}

func (s *seal) check(e *Entry, o api.Object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hash != hashOf(o) {
		b, _ := json.Marshal(o)
		panic(fmt.Sprintf("cache: somebody has changed the frozen object %s at %d: it is now %s", e.Key, e.Revision, b))
	}
}

func hashOf(o api.Object) [sha256.Size]byte {
	b, err := json.Marshal(o)
	if err != nil {
		panic(err) // it has been encoded before
	}
	return sha256.Sum256(b)
}
