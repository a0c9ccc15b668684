package users

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"sampan.dev/internal/node/checkpoint"

	"k8s.io/apimachinery/pkg/types"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// file is the name of the file in a pod's directory that says which range it has.
const file = "userns"

// Manager knows which ranges of IDs there are and which pod has which. Every goroutine may call it.
//
// Invariant: once loaded, given and has say the same, and the file of each pod in them says so too.
type Manager struct {
	dir   func(uid types.UID) string // of a pod
	pods  string                     // directory that the pods' directories are in
	whole Range

	mu struct {
		sync.Mutex
		loaded bool
		given  map[uint32]types.UID // by the number of the range
		has    map[types.UID]uint32
		next   uint32 // the number that is looked at first: a range that was given back rests as long as there are others
	}
}

// mapping and mappings are the form of the file.
type mapping struct {
	HostID      uint32 `json:"hostId"`
	ContainerID uint32 `json:"containerId"`
	Length      uint32 `json:"length"`
}

type mappings struct {
	UIDs []mapping `json:"uidMappings"`
	GIDs []mapping `json:"gidMappings"`
}

// New makes a manager of the ranges in whole for the pods whose directories are in the directory pods.
func New(pods string, whole Range) *Manager {
	m := &Manager{pods: pods, whole: whole}
	m.dir = func(uid types.UID) string { return filepath.Join(pods, string(uid)) }
	return m
}

// Get returns the users of a pod, whose directory exists: those that it has, or a range that is free.
func (m *Manager) Get(uid types.UID) (*cri.UserNamespace, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.loadLocked(); err != nil {
		return nil, err
	}
	if n, ok := m.mu.has[uid]; ok {
		return m.namespace(n), nil
	}
	n, err := m.giveLocked(uid)
	if err != nil {
		return nil, fmt.Errorf("create user namespace: %w", err)
	}
	return m.namespace(n), nil
}

// Release gives the range of a pod back of which nothing runs any more, if it has one.
func (m *Manager) Release(uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.loaded {
		n, ok := m.mu.has[uid]
		if !ok {
			return
		}
		m.forgetLocked(uid, n)
	}
	_ = os.Remove(filepath.Join(m.dir(uid), file)) // it goes with the directory at the latest
}

// Keep gives the ranges of all pods back that are not known: their directories are gone.
func (m *Manager) Keep(known func(uid types.UID) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for uid, n := range m.mu.has {
		if !known(uid) {
			m.forgetLocked(uid, n)
		}
	}
}

func (m *Manager) forgetLocked(uid types.UID, n uint32) {
	delete(m.mu.has, uid)
	delete(m.mu.given, n)
}

// giveLocked gives a pod the next range that is free, and writes that down.
func (m *Manager) giveLocked(uid types.UID) (uint32, error) {
	count := m.whole.Length / m.whole.PerPod
	for range count {
		n := m.mu.next
		m.mu.next = (n + 1) % count
		if _, taken := m.mu.given[n]; taken {
			continue
		}
		if err := m.write(uid, n); err != nil {
			return 0, err
		}
		m.mu.given[n], m.mu.has[uid] = uid, n
		return n, nil
	}
	return 0, errors.New("could not find an empty slot to allocate a user namespace")
}

func (m *Manager) write(uid types.UID, n uint32) error {
	one := []mapping{{HostID: m.first(n), Length: m.whole.PerPod}}
	data, err := json.Marshal(mappings{UIDs: one, GIDs: one})
	if err != nil {
		return err
	}
	dir := m.dir(uid)
	if err := checkpoint.Write(filepath.Join(dir, file), data); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync() // the file is there, whatever happens to the machine
}

// loadLocked reads what earlier kubelets gave, once.
func (m *Manager) loadLocked() error {
	if m.mu.loaded {
		return nil
	}
	m.mu.given, m.mu.has = map[uint32]types.UID{}, map[types.UID]uint32{}
	dirs, err := os.ReadDir(m.pods)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read pods from disk: %w", err)
	}
	for _, d := range dirs {
		uid := types.UID(d.Name())
		data, err := os.ReadFile(filepath.Join(m.dir(uid), file))
		if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
			continue
		}
		if err == nil {
			err = m.recordLocked(uid, data)
		}
		if err != nil {
			return fmt.Errorf("record pod mappings for existing pod %q: %w", uid, err)
		}
	}
	m.mu.loaded = true
	return nil
}

// recordLocked notes what the file of a pod says.
func (m *Manager) recordLocked(uid types.UID, data []byte) error {
	var f mappings
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("invalid user namespace mappings file: %w", err)
	}
	if len(f.UIDs) != 1 {
		return errors.New("invalid user namespace configuration: no more than one mapping allowed.")
	}
	one := f.UIDs[0]
	if len(f.GIDs) != 1 || f.GIDs[0] != one {
		return errors.New("invalid user namespace configuration: GID and UID mapping should be identical")
	}
	switch w := m.whole; {
	case one.ContainerID != 0:
		return errors.New("invalid user namespace configuration: UID 0 must be mapped")
	case one.Length != w.PerPod:
		return fmt.Errorf("wrong user namespace length %v", one.Length)
	case one.HostID%w.PerPod != 0:
		return fmt.Errorf("wrong user namespace offset specified %v", one.HostID)
	case one.HostID < w.First || (one.HostID-w.First)/w.PerPod >= w.Length/w.PerPod:
		return fmt.Errorf("id %v is out of range", one.HostID)
	}
	n := (one.HostID - m.whole.First) / m.whole.PerPod
	if _, taken := m.mu.given[n]; taken {
		return fmt.Errorf("range picked for pod %q already taken", uid)
	}
	m.mu.given[n], m.mu.has[uid] = uid, n
	return nil
}

// first is the first ID on the host of the range with that number.
func (m *Manager) first(n uint32) uint32 { return m.whole.First + n*m.whole.PerPod }

// namespace describes a range to the runtime.
func (m *Manager) namespace(n uint32) *cri.UserNamespace {
	one := func() []*cri.IDMapping {
		return []*cri.IDMapping{{HostId: m.first(n), Length: m.whole.PerPod}}
	}
	return &cri.UserNamespace{Mode: cri.NamespaceMode_POD, Uids: one(), Gids: one()}
}
