package devices

import (
	"slices"

	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
)

// Hints implements topology.Provider.
func (m *Manager) Hints(pod *corev1.Pod, c *corev1.Container) topology.Hints {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := topology.Hints{}
	for name, n := range limits(c) {
		if m.knownLocked(name) {
			out[name] = m.hintsLocked(name, n, m.mu.given[pod.UID][c.Name][name].devices.ids(), m.mu.reuse[pod.UID][name])
		}
	}
	return out
}

// PodHints implements topology.Provider.
func (m *Manager) PodHints(pod *corev1.Pod) topology.Hints {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := topology.Hints{}
	for key, q := range resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{ExcludeOverhead: true}) {
		name := string(key)
		if !m.knownLocked(name) {
			continue
		}
		has := set{}
		for _, containers := range m.mu.given[pod.UID] {
			has = has.with(containers[name].devices.ids())
		}
		out[name] = m.hintsLocked(name, int(q.Value()), has, nil)
	}
	return out
}

// hintsLocked are the sets of NUMA nodes that have n devices for a container, has being what it was given. They are nil where the devices do
// not say where they are, and none where there are too few.
func (m *Manager) hintsLocked(name string, n int, has, reuse set) []topology.Hint {
	r := m.mu.offers[name]
	switch {
	case r == nil || !r.placed():
		return nil
	case len(has) > 0 && len(has) != n:
		return []topology.Hint{}
	case len(has) > 0:
		return r.hints(m.cfg.Nodes(), has, nil, n)
	}
	free := r.healthy.without(m.mu.given.taken(name))
	if len(free.with(reuse)) < n {
		return []topology.Hint{}
	}
	return r.hints(m.cfg.Nodes(), free, reuse, n)
}

// hints looks at the sets of those of the machine's nodes that have devices. Preferred are the sets of the fewest nodes that have n
// devices at all, free or not. Devices to be reused must be among them.
func (r *offer) hints(machine []int, free, reuse set, n int) []topology.Hint {
	at := map[string]topology.Mask{}
	var with topology.Mask
	for id, d := range r.devices {
		for _, node := range nodesOf(d) {
			at[id] |= topology.MaskOf(int(node))
		}
		with |= at[id]
	}
	nodes := slices.DeleteFunc(slices.Clone(machine), func(id int) bool { return !with.Has(id) })
	if len(nodes) == 0 {
		nodes = machine
	}
	least := len(nodes)
	out := []topology.Hint{}
	topology.Subsets(nodes, func(in topology.Mask) {
		count := func(ids set) (have, outside int) {
			for id := range ids {
				switch {
				case at[id]&in != 0:
					have++
				case r.device(id).GetTopology() != nil:
					outside++
				}
			}
			return have, outside
		}
		all := 0
		for id := range r.devices {
			if at[id]&in != 0 {
				all++
			}
		}
		if all >= n {
			least = min(least, in.Count())
		}
		again, outside := count(reuse)
		if have, _ := count(free); outside == 0 && have+again >= n {
			out = append(out, topology.Hint{Mask: in})
		}
	})
	for i := range out {
		out[i].Preferred = out[i].Mask.Count() == least
	}
	return out
}
