package devices

import (
	"context"
	"fmt"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	pluginapi "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

// Allocate implements topology.Provider.
func (m *Manager) Allocate(ctx context.Context, pod *corev1.Pod, c *corev1.Container) error {
	names := m.wanted(c)
	if len(names) == 0 {
		return nil
	}
	m.reuseOf(pod.UID)
	for _, name := range names {
		if err := m.allocate(ctx, pod, c, name); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leaveLocked(pod, c)
	m.saveLocked()
	return nil
}

// wanted are the resources of plugins that a container asks for, in order. What it asks for of these is its limit.
func (m *Manager) wanted(c *corev1.Container) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.mu.offers) == 0 && len(m.mu.given) == 0 {
		return nil
	}
	var out []string
	for _, name := range sortedKeys(limits(c)) {
		if m.knownLocked(name) {
			out = append(out, name)
		}
	}
	return out
}

func limits(c *corev1.Container) map[string]int {
	out := map[string]int{}
	for name, q := range c.Resources.Limits {
		out[string(name)] = int(q.Value())
	}
	return out
}

// reuseOf begins with a pod, and forgets what another left.
func (m *Manager) reuseOf(pod types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for uid := range m.mu.reuse {
		if uid != pod {
			delete(m.mu.reuse, uid)
		}
	}
	if m.mu.reuse[pod] == nil {
		m.mu.reuse[pod] = map[string]set{}
	}
}

// leaveLocked notes what a container leaves to later ones of its pod: an init container, that ends before they start, all it has;
// of what any other takes nothing.
func (m *Manager) leaveLocked(pod *corev1.Pod, c *corev1.Container) {
	init := !pods.IsSidecar(c) && pods.FindContainer(pod.Spec.InitContainers, c.Name) != nil
	reuse := m.mu.reuse[pod.UID]
	for name, a := range m.mu.given[pod.UID][c.Name] {
		if init {
			reuse[name] = reuse[name].with(a.devices.ids())
		} else {
			reuse[name] = reuse[name].without(a.devices.ids())
		}
	}
}

// allocate gives a container devices of one resource.
func (m *Manager) allocate(ctx context.Context, pod *corev1.Pod, c *corev1.Container, name string) error {
	n := limits(c)[name]
	p, chosen, err := m.choose(ctx, pod, c, name, n)
	if err != nil || len(chosen) == 0 {
		return err
	}
	needs, err := p.allocate(ctx, chosen.list())
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	devices := perNode{}
	for _, id := range chosen.list() {
		at := nodesOf(m.mu.offers[name].device(id))
		if len(at) == 0 {
			at = []int64{nowhere}
		}
		for _, node := range at {
			devices[node] = append(devices[node], id)
		}
	}
	m.mu.given.put(pod.UID, c.Name, name, allocation{devices, needs})
	return nil
}

func (r *offer) device(id string) *pluginapi.Device {
	if r == nil {
		return nil
	}
	return r.devices[id]
}

func nodesOf(d *pluginapi.Device) []int64 {
	var out []int64
	for _, n := range d.GetTopology().GetNodes() {
		out = append(out, n.ID)
	}
	return out
}

// choose picks n devices for a container: such as init containers of its pod had, then free ones near the NUMA nodes it is on, among
// these and among the others as the plugin prefers. It picks none when the container has them already.
func (m *Manager) choose(ctx context.Context, pod *corev1.Pod, c *corev1.Container, name string, n int) (*plugin, set, error) {
	hint := m.cfg.Affinity(pod.UID, c.Name)
	m.mu.Lock()
	r := m.mu.offers[name]
	has, given := m.mu.given[pod.UID][c.Name][name]
	p, err := r.checkRequest(pod.UID, c.Name, name, n, has.devices.ids(), given)
	if err != nil || given || n == 0 {
		m.mu.Unlock()
		return nil, nil, err
	}
	chosen := first(m.mu.reuse[pod.UID][name].and(r.healthy), n)
	free := r.healthy.without(m.mu.given.taken(name)).without(chosen)
	near, far, unknown := r.byDistance(free, hint)
	m.mu.Unlock()
	needed := n - len(chosen)
	if needed == 0 {
		return p, chosen, nil
	}
	if len(free) < needed {
		return nil, nil, fmt.Errorf("requested number of devices unavailable for %s. Requested: %d, Available: %d", name, needed, len(free))
	}
	if needed >= len(near) { // all of the near ones, then the plugin's choice of the rest
		chosen = chosen.with(near)
		near = free.without(near)
		if needed = n - len(chosen); needed == 0 {
			return p, chosen, nil
		}
	} else {
		far, unknown = nil, nil
	}
	preferred, err := p.prefers(ctx, near.with(chosen), chosen, n)
	if err != nil {
		return nil, nil, err
	}
	for _, from := range []set{preferred.and(near), far, unknown, near} {
		chosen = chosen.with(first(from.without(chosen), n-len(chosen)))
	}
	return p, chosen, nil
}

// first are n of a set, or all that there are.
func first(s set, n int) set {
	ids := s.list()
	return setOf(ids[:min(len(ids), max(0, n))]...)
}

// checkRequest says what stands against giving a container n devices; has is what it was given.
func (r *offer) checkRequest(pod types.UID, container, name string, n int, has set, given bool) (*plugin, error) {
	switch {
	case given && len(has) != n:
		return nil, fmt.Errorf("pod %q container %q changed request for resource %q from %d to %d", pod, container, name, len(has), n)
	case r == nil:
		return nil, fmt.Errorf("cannot allocate unregistered device %s", name)
	case len(r.healthy) == 0:
		return nil, fmt.Errorf("no healthy devices present; cannot allocate unhealthy devices %s", name)
	case len(has.without(r.healthy)) > 0:
		return nil, fmt.Errorf("previously allocated devices are no longer healthy; cannot allocate unhealthy devices %s", name)
	}
	p, ok := r.asked()
	if !ok {
		return nil, fmt.Errorf("unknown Device Plugin %s", name)
	}
	return p, nil
}

// byDistance parts free devices: those on the nodes of the hint, those elsewhere, and those that do not say where they are. Where no device
// of the resource says, or the hint has no nodes, all are of the last kind.
func (r *offer) byDistance(free set, hint topology.Hint) (near, far, unknown set) {
	near, far, unknown = set{}, set{}, set{}
	if hint.Mask == 0 || !r.placed() {
		return near, far, free
	}
	for id := range free {
		into := unknown
		for _, node := range nodesOf(r.devices[id]) {
			if hint.Mask.Has(int(node)) {
				into = near
				break
			}
			into = far
		}
		into[id] = struct{}{}
	}
	return near, far, unknown
}

// placed reports whether any device of the resource says where it is.
func (r *offer) placed() bool {
	for _, d := range r.devices {
		if len(nodesOf(d)) > 0 {
			return true
		}
	}
	return false
}
