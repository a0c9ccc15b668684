package allocation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"sampan.dev/internal/node/checkpoint"

	"k8s.io/apimachinery/pkg/types"
)

// Store is what pods were given, by pod, and its checkpoint. Every goroutine may use it.
//
// Invariant: what Flush has returned for is in the file, or something newer. Writers that wait for one another are served by one
// write. Pods that are gone leave the file with the next write, as they do upstream.
type Store struct {
	path string // of the checkpoint; "": there is none

	mu struct {
		sync.Mutex
		pods    map[types.UID]*Info
		version int // grows with what has to be in the file
	}
	file struct { // held while the file is written
		sync.Mutex
		version int // that is in it
	}
}

// entries and encoded are the checkpoint's two layers.
type entries struct {
	Entries map[types.UID]*Info `json:"entries,omitempty"`
}

type encoded struct {
	Data     string              `json:"data"`
	Checksum checkpoint.Checksum `json:"checksum"`
}

// Open reads a checkpoint; one that is not there is empty.
func Open(path string) (*Store, error) {
	s := &Store{path: path}
	s.mu.pods = map[types.UID]*Info{}
	if path == "" {
		return s, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = s.decode(b)
	}
	if err != nil {
		return nil, fmt.Errorf("could not restore state from checkpoint: %w, please drain this node and delete pod resource information checkpoint file %q before restarting Kubelet", err, path)
	}
	return s, nil
}

func (s *Store) decode(b []byte) error {
	var e encoded
	var all entries
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	if checkpoint.Sum(e.Data) != e.Checksum {
		return checkpoint.ErrCorrupt
	}
	if err := json.Unmarshal([]byte(e.Data), &all); err != nil {
		return fmt.Errorf("failed to get pod resource information: %w", err)
	}
	for uid, info := range all.Entries {
		if info != nil {
			s.mu.pods[uid] = info
		}
	}
	return nil
}

// Get is what a pod was given, nil when nothing is known of it.
func (s *Store) Get(uid types.UID) *Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.pods[uid]
}

// Set notes what a pod is given. It is in the file when Flush has returned.
func (s *Store) Set(uid types.UID, info *Info) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.pods[uid] = info
	s.mu.version++
}

// Drop forgets a pod.
func (s *Store) Drop(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.pods, uid)
}

// Keep forgets all pods but those that are known.
func (s *Store) Keep(known func(uid types.UID) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid := range s.mu.pods {
		if !known(uid) {
			delete(s.mu.pods, uid)
		}
	}
}

// Flush writes the checkpoint if it lacks something.
func (s *Store) Flush() error {
	if s.path == "" {
		return nil
	}
	s.file.Lock()
	defer s.file.Unlock()
	s.mu.Lock()
	version := s.mu.version
	if version == s.file.version {
		s.mu.Unlock()
		return nil
	}
	data, err := json.Marshal(entries{s.mu.pods})
	s.mu.Unlock()
	if err != nil {
		return err
	}
	b, err := json.Marshal(encoded{string(data), checkpoint.Sum(string(data))})
	if err == nil {
		err = checkpoint.Write(s.path, b)
	}
	if err == nil {
		s.file.version = version
	}
	return err
}
