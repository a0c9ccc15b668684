package topology

import (
	"context"
	"fmt"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Provider gives something out to containers of which it matters where in the machine it lies.
type Provider interface {
	// Hints says on which sets of nodes it can serve a container.
	Hints(pod *corev1.Pod, c *corev1.Container) Hints
	// PodHints says it for all containers of a pod together.
	PodHints(pod *corev1.Pod) Hints
	// Allocate gives a container what it asks for, on the nodes that Manager.Affinity says. It is called for init
	// containers first, in the order of the spec. What the container has already it keeps.
	Allocate(ctx context.Context, pod *corev1.Pod, c *corev1.Container) error
}

// Manager admits pods. Its owner lets one pod in at a time.
type Manager struct {
	policy    *Policy
	pod       bool // scope
	providers []Provider

	mu struct {
		sync.Mutex
		hints map[types.UID]map[string]Hint // of the containers that were admitted, by pod and name
	}
}

// New makes a manager. A policy of nil lets the providers allocate as they like.
func New(policy *Policy, scope string) (*Manager, error) {
	m := &Manager{policy: policy}
	m.mu.hints = map[types.UID]map[string]Hint{}
	switch scope {
	case ContainerScope, "":
	case PodScope:
		m.pod = policy != nil
	default:
		return nil, fmt.Errorf("unknown scope: %q", scope)
	}
	return m, nil
}

// Policy says which one it is.
func (m *Manager) Policy() string { return m.policy.Name() }

// Use adds a provider; those of earlier calls allocate first.
func (m *Manager) Use(p Provider) { m.providers = append(m.providers, p) }

// Affinity is the set of nodes on which a container is to be served; a hint without nodes where it does not matter.
func (m *Manager) Affinity(pod types.UID, container string) Hint {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.hints[pod][container]
}

// Forget drops what is known of a pod.
func (m *Manager) Forget(pod types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.mu.hints, pod)
}

// Admit has every container of the pod served. After an error, which Explain turns into words, the caller takes back what some
// of the containers were given.
func (m *Manager) Admit(ctx context.Context, pod *corev1.Pod) error {
	var hint Hint
	if m.pod {
		asked := make([]Hints, len(m.providers))
		for i, p := range m.providers {
			asked[i] = p.PodHints(pod)
		}
		var ok bool
		if hint, ok = m.policy.Merge(asked); !ok {
			return affinityError{"Resources cannot be allocated with Topology locality"}
		}
	}
	for _, c := range containers(pod) {
		if !m.pod && m.policy != nil {
			asked := make([]Hints, len(m.providers))
			for i, p := range m.providers {
				asked[i] = p.Hints(pod, c)
			}
			var ok bool
			if hint, ok = m.policy.Merge(asked); !ok {
				return affinityError{"Resources cannot be allocated with Topology locality"}
			}
		}
		if m.policy != nil {
			m.remember(pod.UID, c.Name, hint)
		}
		for _, p := range m.providers {
			if err := p.Allocate(ctx, pod, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Manager) remember(pod types.UID, container string, h Hint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.hints[pod] == nil {
		m.mu.hints[pod] = map[string]Hint{}
	}
	m.mu.hints[pod][container] = h
}

// containers of a pod in the order in which they are served: init containers, then the others.
func containers(pod *corev1.Pod) []*corev1.Container {
	var out []*corev1.Container
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		out = slices.Grow(out, len(list))
		for i := range list {
			out = append(out, &list[i])
		}
	}
	return out
}
