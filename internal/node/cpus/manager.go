package cpus

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"

	"sampan.dev/internal/node/hardware"
	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/cpuset"
)

// Config of the static policy.
type Config struct {
	Machine *hardware.Machine
	Options Options
	// Reserved CPUs are given to nobody. When none are named, as many as ReservedMilli says, rounded up, are chosen.
	Reserved      cpuset.CPUSet
	ReservedMilli int64
	Dir           string // of the checkpoint
	Topology      string // policy of the topology manager
	// Affinity says on which NUMA nodes a container is to be.
	Affinity func(pod types.UID, container string) topology.Hint
	Log      *slog.Logger
}

// Manager gives out CPUs.
//
// What it was made of does not change. What it has given out stands in mu, and in the checkpoint once the call that changed it has
// returned. Every CPU of the machine, less those reserved strictly, is shared or some container's; what an init container has,
// later containers of its pod may have too.
type Manager struct {
	m        *machine
	cfg      Config
	reserved cpuset.CPUSet
	kin      cpuset.CPUSet // the reserved CPUs and all that share a core with one
	path     string        // of the checkpoint

	mu struct {
		sync.Mutex
		state
		reuse map[types.UID]cpuset.CPUSet // what init containers of the pod that is being admitted leave to later ones
	}
}

// New makes a manager, and takes over what its checkpoint says.
func New(cfg Config) (*Manager, error) {
	m := &Manager{m: newMachine(cfg.Machine), cfg: cfg, path: filepath.Join(cfg.Dir, File)}
	if err := cfg.Options.suit(m.m, cfg.Topology); err != nil {
		return nil, err
	}
	if cfg.ReservedMilli <= 0 {
		return nil, errors.New("[cpumanager] the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero")
	}
	n := int((cfg.ReservedMilli + 999) / 1000)
	if m.reserved = cfg.Reserved; m.reserved.IsEmpty() {
		m.reserved, _ = m.take(m.m.cpus(), n)
	}
	if m.reserved.Size() != n {
		return nil, fmt.Errorf("[cpumanager] unable to reserve the required amount of CPUs (size of %s did not equal %d)", m.reserved, n)
	}
	m.kin = m.m.in(byCore, m.m.only(m.reserved).ids(byCore)...)
	m.mu.reuse = map[types.UID]cpuset.CPUSet{}
	if err := m.restore(); err != nil {
		return nil, err
	}
	return m, nil
}

// take chooses n of the given CPUs as the options say.
func (m *Manager) take(from cpuset.CPUSet, n int) (cpuset.CPUSet, error) {
	o := m.cfg.Options
	if !o.AcrossNodes {
		return m.m.take(from, n, o.AcrossCores, o.ByCache)
	}
	group := 1
	if o.WholeCores {
		group = m.m.perCore
	}
	return m.m.takeEvenly(from, n, group, o.AcrossCores, o.BySocket)
}

// Allocatable are the CPUs that containers can have to themselves.
func (m *Manager) Allocatable() cpuset.CPUSet { return m.m.cpus().Difference(m.reserved) }

// CPUs are those on which a container runs, and whether it has them to itself.
func (m *Manager) CPUs(pod types.UID, container string) (cpus cpuset.CPUSet, own bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if own, ok := m.mu.own[pod][container]; ok {
		return own, true
	}
	return m.mu.shared, false
}

// HasOwn reports whether any container of a pod has CPUs to itself.
func (m *Manager) HasOwn(pod types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.own[pod]) > 0
}

// Keep takes back the CPUs of all pods but those that keep names, and returns whether any were.
func (m *Manager) Keep(keep func(types.UID) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	freed := cpuset.New()
	for pod, own := range m.mu.own {
		if keep(pod) {
			continue
		}
		for _, cpus := range own {
			freed = freed.Union(cpus)
		}
		delete(m.mu.own, pod)
	}
	if freed.IsEmpty() {
		return false
	}
	m.mu.shared = m.mu.shared.Union(freed)
	m.saveLocked()
	return true
}

// availableLocked are the CPUs that can be given to a container of a pod.
func (m *Manager) availableLocked() cpuset.CPUSet { return m.mu.shared.Difference(m.reserved) }

// alignmentError says that a request cannot be met with whole cores.
type alignmentError struct{ message string }

func (e alignmentError) Error() string { return "SMT Alignment Error: " + e.message }

func (alignmentError) Reason() string { return "SMTAlignmentError" }

// wholeCoresLocked checks that n CPUs can be had as whole cores, if that is asked for. Cores that have a reserved CPU are no whole ones.
func (m *Manager) wholeCoresLocked(n int) error {
	if !m.cfg.Options.WholeCores {
		return nil
	}
	if n%m.m.perCore != 0 {
		return alignmentError{fmt.Sprintf("requested %d cpus not multiple cpus per core = %d", n, m.m.perCore)}
	}
	if have := m.mu.shared.Difference(m.kin).Size(); n > have {
		return alignmentError{fmt.Sprintf("not enough free physical CPUs: available physical CPUs = %d, requested CPUs = %d, CPUs per core = %d", have, n, m.m.perCore)}
	}
	return nil
}

// allocateLocked takes n CPUs out of the shared ones: first such as lie on the nodes of the hint.
func (m *Manager) allocateLocked(n int, hint topology.Mask, reuse cpuset.CPUSet) (cpuset.CPUSet, error) {
	from := m.availableLocked().Union(reuse)
	got := cpuset.New()
	if hint != 0 {
		near := from.Intersection(m.m.in(byNode, hint.IDs()...))
		if m.cfg.Options.BySocket {
			near = from.Intersection(m.m.in(bySocket, m.m.only(m.m.in(byNode, hint.IDs()...)).ids(bySocket)...))
		}
		var err error
		if got, err = m.take(near, min(n, near.Size())); err != nil {
			return got, err
		}
	}
	rest, err := m.take(from.Difference(got), n-got.Size())
	if err != nil {
		return cpuset.New(), err
	}
	got = got.Union(rest)
	m.mu.shared = m.mu.shared.Difference(got)
	return got, nil
}

// reuseLocked notes what a container leaves to later ones of its pod: an init container, that ends before they start, all it has;
// of what any other takes nothing.
func (m *Manager) reuseLocked(pod *corev1.Pod, c *corev1.Container, cpus cpuset.CPUSet) {
	for uid := range m.mu.reuse {
		if uid != pod.UID {
			delete(m.mu.reuse, uid)
		}
	}
	if endsBefore(pod, c) {
		m.mu.reuse[pod.UID] = m.mu.reuse[pod.UID].Union(cpus)
	} else {
		m.mu.reuse[pod.UID] = m.mu.reuse[pod.UID].Difference(cpus)
	}
}
