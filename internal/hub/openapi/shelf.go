package openapi

import (
	"bytes"
	"compress/gzip"
	"sync"
)

// Shelf keeps documents, compressed, from one Handler to the next: when something else is served, most documents are what they
// were. It keeps one of each name and encoding, of those names that the last Handler that made one has.
type Shelf struct {
	mu struct { // held while a document is made, so that it is made once, and one at a time, because making one takes memory
		sync.Mutex
		made    map[key]kept
		library library
	}
}

// key names one encoding of one document; doc is "" for v2.
type key struct {
	doc   string
	proto bool
}

type kept struct {
	etag string
	gzip []byte
}

// get returns a document compressed, which make makes of definitions unless one with the etag is kept. names are those of all
// documents that there are.
func (s *Shelf) get(k key, etag string, names func() map[string]bool, make func(*library) ([]byte, error)) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.mu.made[k]; d.etag == etag {
		return d.gzip, nil
	}
	if s.mu.library.remembered == nil {
		s.mu.library.remembered = map[string]node{}
	}
	defer s.mu.library.close()
	data, err := make(&s.mu.library)
	if err != nil {
		return nil, err
	}
	z, err := zip(data)
	if err != nil {
		return nil, err
	}
	s.keepLocked(k, kept{etag, z}, names())
	return z, nil
}

func (s *Shelf) keepLocked(k key, d kept, names map[string]bool) {
	if s.mu.made == nil {
		s.mu.made = map[key]kept{}
	}
	for old := range s.mu.made {
		if !names[old.doc] {
			delete(s.mu.made, old)
		}
	}
	s.mu.made[k] = d
}

func zip(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
