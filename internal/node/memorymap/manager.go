package memorymap

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/hardware"
	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Names of the policies.
const (
	None   = "None"
	Static = "Static"
)

// Config of the static policy.
type Config struct {
	Machine *hardware.Machine
	// Reserved is what containers do not get, and ReservedSum what it must add up to: what is reserved of the node's memory.
	Reserved    Reserved
	ReservedSum corev1.ResourceList
	Dir         string // of the checkpoint
	Affinity    func(pod types.UID, container string) topology.Hint
	Log         *slog.Logger
}

// Manager gives out memory of NUMA nodes.
//
// Invariant of mu: nodes are the fresh accounts after every block of given was taken from them, less what later containers of a
// pod took over from its init containers. The checkpoint says the same once the call that changed it has returned.
type Manager struct {
	cfg  Config
	path string // of the checkpoint

	mu struct {
		sync.Mutex
		nodes accounts
		given map[types.UID]map[string][]Block
		reuse map[types.UID]reusable // of the pod that is being admitted
	}
}

// New makes a manager, and takes over what its checkpoint says.
func New(cfg Config) (*Manager, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	m := &Manager{cfg: cfg, path: filepath.Join(cfg.Dir, File)}
	m.mu.reuse = map[types.UID]reusable{}
	if err := m.restore(); err != nil {
		return nil, err
	}
	return m, nil
}

// Allocate implements topology.Provider.
func (m *Manager) Allocate(_ context.Context, pod *corev1.Pod, c *corev1.Container) error {
	if !served(pod) {
		return nil
	}
	r, err := asked(c)
	if err != nil || len(r) == 0 {
		return err
	}
	hint := m.cfg.Affinity(pod.UID, c.Name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if blocks := m.mu.given[pod.UID][c.Name]; blocks != nil {
		m.reuseLocked(pod, c, blocks)
		return nil
	}
	again := m.mu.reuse[pod.UID]
	set, err := m.mu.nodes.choose(r, hint, again)
	if err != nil {
		return err
	}
	var blocks []Block
	for _, kind := range r.kinds() {
		b := Block{set.IDs(), kind, r[kind]}
		m.mu.nodes.give(b, b.Size-min(b.Size, again[set][kind]))
		blocks = append(blocks, b)
	}
	m.reuseLocked(pod, c, blocks)
	if m.mu.given[pod.UID] == nil {
		m.mu.given[pod.UID] = map[string][]Block{}
	}
	m.mu.given[pod.UID][c.Name] = blocks
	m.takeOverLocked(pod, c, blocks)
	m.saveLocked()
	return nil
}

// reuseLocked notes what a container leaves to later ones of its pod, or took of that.
func (m *Manager) reuseLocked(pod *corev1.Pod, c *corev1.Container, blocks []Block) {
	for uid := range m.mu.reuse {
		if uid != pod.UID {
			delete(m.mu.reuse, uid)
		}
	}
	if m.mu.reuse[pod.UID] == nil {
		m.mu.reuse[pod.UID] = reusable{}
	}
	for _, b := range blocks {
		set := topology.MaskOf(b.NUMAAffinity...)
		if m.mu.reuse[pod.UID][set] == nil {
			m.mu.reuse[pod.UID][set] = request{}
		}
		r := m.mu.reuse[pod.UID][set]
		if endsBefore(pod, c) {
			r[b.Type] = max(r[b.Type], b.Size)
		} else {
			r[b.Type] -= min(r[b.Type], b.Size)
		}
	}
}

// takeOverLocked takes from the blocks of earlier init containers what a container reuses of them, so that the sum of a pod's blocks is
// what its pod has been given.
func (m *Manager) takeOverLocked(pod *corev1.Pod, c *corev1.Container, blocks []Block) {
	for _, b := range blocks {
		left := b.Size
		for i := range pod.Spec.InitContainers {
			init := &pod.Spec.InitContainers[i]
			if init.Name == c.Name {
				break
			}
			if pods.IsSidecar(init) {
				continue
			}
			had := m.mu.given[pod.UID][init.Name]
			for j := range had {
				if had[j].Type == b.Type && sameNodes(had[j].NUMAAffinity, b.NUMAAffinity) {
					part := min(left, had[j].Size)
					had[j].Size, left = had[j].Size-part, left-part
				}
			}
		}
	}
}

// Hints implements topology.Provider.
func (m *Manager) Hints(pod *corev1.Pod, c *corev1.Container) topology.Hints {
	r, err := asked(c)
	if !served(pod) || err != nil || len(r) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if blocks := m.mu.given[pod.UID][c.Name]; blocks != nil {
		return given(blocks, r)
	}
	return m.mu.nodes.hints(r, m.mu.reuse[pod.UID])
}

// PodHints implements topology.Provider.
func (m *Manager) PodHints(pod *corev1.Pod) topology.Hints {
	r, err := askedByPod(pod)
	if !served(pod) || err != nil || len(r) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			if blocks := m.mu.given[pod.UID][list[i].Name]; blocks != nil {
				return given(blocks, r)
			}
		}
	}
	return m.mu.nodes.hints(r, m.mu.reuse[pod.UID])
}

// Keep takes back the memory of all pods but those that keep names.
func (m *Manager) Keep(keep func(types.UID) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	for pod, containers := range m.mu.given {
		if keep(pod) {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(containers)) {
			for _, b := range containers[name] {
				m.mu.nodes.takeBack(b)
			}
		}
		delete(m.mu.given, pod)
		changed = true
	}
	if changed {
		m.saveLocked()
	}
}

// Ended takes back the memory of a pod's init containers that ended before c was started.
func (m *Manager) Ended(pod *corev1.Pod, c *corev1.Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed := false
	for i := range pod.Spec.InitContainers {
		init := &pod.Spec.InitContainers[i]
		if init.Name == c.Name {
			break
		}
		blocks := m.mu.given[pod.UID][init.Name]
		if pods.IsSidecar(init) || blocks == nil {
			continue
		}
		for _, b := range blocks {
			m.mu.nodes.takeBack(b)
		}
		delete(m.mu.given[pod.UID], init.Name)
		changed = true
	}
	if changed {
		m.saveLocked()
	}
}

// Nodes are the NUMA nodes whose memory a container has; none when it may have any.
func (m *Manager) Nodes(pod types.UID, container string) []int {
	m.mu.Lock()
	defer m.mu.Unlock()
	var set topology.Mask
	for _, b := range m.mu.given[pod][container] {
		set |= topology.MaskOf(b.NUMAAffinity...)
	}
	return set.IDs()
}

// Blocks are what a container has.
func (m *Manager) Blocks(pod types.UID, container string) []Block {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mu.given[pod][container])
}

// Allocatable is what containers can have in sum, by NUMA node and kind.
func (m *Manager) Allocatable() []Block {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Block
	for _, id := range m.mu.nodes.ids() {
		tables := m.mu.nodes[id].MemoryMap
		for _, kind := range slices.Sorted(maps.Keys(tables)) {
			if n := tables[kind].Allocatable; n > 0 {
				out = append(out, Block{[]int{id}, kind, n})
			}
		}
	}
	return out
}

var errNothingReserved = errors.New("[memorymanager] you should specify the system reserved memory")
