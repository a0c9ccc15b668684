package allocation

import (
	"errors"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The names of the checkpoints in the kubelet's root directory.
const (
	AllocatedFile = "allocated_pods_state"
	ActuatedFile  = "actuated_pods_state"
)

// Manager holds what pods were given, and what has been done about it. Every goroutine may use it; what is actuated of a pod only
// its own changes.
type Manager struct{ Allocated, Actuated *Store }

// New reads the checkpoints in dir; with "" nothing outlives the process.
func New(dir string) (*Manager, error) {
	var paths [2]string
	if dir != "" {
		paths = [2]string{filepath.Join(dir, AllocatedFile), filepath.Join(dir, ActuatedFile)}
	}
	allocated, err := Open(paths[0])
	if err != nil {
		return nil, err
	}
	actuated, err := Open(paths[1])
	return &Manager{allocated, actuated}, err
}

// Given is the pod as the node has agreed to it: what is checkpointed, else what its spec asks for.
func (m *Manager) Given(pod *corev1.Pod) *corev1.Pod { return m.Allocated.Get(pod.UID).Apply(pod) }

// Admit notes that the node takes a pod. What an earlier run has given it stays; and of one that runs already without our knowing,
// the containers are taken to have what it was given.
func (m *Manager) Admit(pod *corev1.Pod) {
	info := m.Allocated.Get(pod.UID)
	if info == nil {
		info = Of(pod)
		m.Allocated.Set(pod.UID, info)
	}
	if m.Actuated.Get(pod.UID) == nil {
		m.Actuated.Set(pod.UID, info)
	}
}

// Flush writes both checkpoints if they lack something.
func (m *Manager) Flush() error { return errors.Join(m.Allocated.Flush(), m.Actuated.Flush()) }

// Release forgets a pod.
func (m *Manager) Release(uid types.UID) {
	m.Allocated.Drop(uid)
	m.Actuated.Drop(uid)
}

// Keep forgets all pods but those that are known.
func (m *Manager) Keep(known func(uid types.UID) bool) {
	m.Allocated.Keep(known)
	m.Actuated.Keep(known)
}
