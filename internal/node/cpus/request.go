package cpus

import (
	"context"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/node/topology"

	corev1 "k8s.io/api/core/v1"
	resourcehelper "k8s.io/component-helpers/resource"
	"k8s.io/utils/cpuset"
)

// asked is how many CPUs a container is to have to itself: those of its request, when that is whole and its pod is Guaranteed.
// Pods that ask for resources as a whole have none.
func asked(pod *corev1.Pod, c *corev1.Container) int {
	q := c.Resources.Requests[corev1.ResourceCPU]
	if q.Value()*1000 != q.MilliValue() || pods.QoS(pod) != corev1.PodQOSGuaranteed || resourcehelper.IsPodLevelResourcesSet(pod) {
		return 0
	}
	return int(q.Value())
}

// askedByPod is how many CPUs a pod needs at any time: what its containers and sidecars have together, or an init container beside
// the sidecars that were started before it.
func askedByPod(pod *corev1.Pod) int {
	sidecars, most := 0, 0
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		n := asked(pod, c)
		if pods.IsSidecar(c) {
			sidecars += n
		} else {
			most = max(most, sidecars+n)
		}
	}
	sum := sidecars
	for i := range pod.Spec.Containers {
		sum += asked(pod, &pod.Spec.Containers[i])
	}
	return max(most, sum)
}

// endsBefore reports whether c is an init container that has ended when the next container of the pod starts.
func endsBefore(pod *corev1.Pod, c *corev1.Container) bool {
	return !pods.IsSidecar(c) && pods.FindContainer(pod.Spec.InitContainers, c.Name) != nil
}

// Allocate implements topology.Provider.
func (m *Manager) Allocate(_ context.Context, pod *corev1.Pod, c *corev1.Container) error {
	n := asked(pod, c)
	if n == 0 {
		return nil // it runs on what is shared
	}
	hint := m.cfg.Affinity(pod.UID, c.Name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if has, ok := m.mu.own[pod.UID][c.Name]; ok { // from a run before ours, and it is kept even where the options would forbid it now
		m.reuseLocked(pod, c, has)
		return nil
	}
	if err := m.wholeCoresLocked(n); err != nil {
		return err
	}
	cpus, err := m.allocateLocked(n, hint.Mask, m.mu.reuse[pod.UID])
	if err != nil {
		return err
	}
	m.mu.setOwn(pod.UID, c.Name, cpus)
	m.reuseLocked(pod, c, cpus)
	m.saveLocked()
	return nil
}

// Hints implements topology.Provider.
func (m *Manager) Hints(pod *corev1.Pod, c *corev1.Container) topology.Hints {
	n := asked(pod, c)
	if n == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if has, ok := m.mu.own[pod.UID][c.Name]; ok {
		if has.Size() != n {
			return topology.Hints{"cpu": {}}
		}
		return topology.Hints{"cpu": m.hints(has, cpuset.New(), n)}
	}
	return topology.Hints{"cpu": m.hints(m.availableLocked(), m.mu.reuse[pod.UID], n)}
}

// PodHints implements topology.Provider.
func (m *Manager) PodHints(pod *corev1.Pod) topology.Hints {
	n := askedByPod(pod)
	if n == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	has := cpuset.New()
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			own, ok := m.mu.own[pod.UID][list[i].Name]
			if ok && own.Size() != asked(pod, &list[i]) {
				return topology.Hints{"cpu": {}}
			}
			has = has.Union(own)
		}
	}
	if has.Size() == n {
		return topology.Hints{"cpu": m.hints(has, cpuset.New(), n)}
	}
	return topology.Hints{"cpu": m.hints(m.availableLocked(), m.mu.reuse[pod.UID].Union(has), n)}
}

// hints are the sets of NUMA nodes that have n of the available CPUs, those to be reused among them. The sets of the fewest nodes
// that could have them, were all CPUs free, are preferred; with align-by-socket also those of the fewest sockets.
func (m *Manager) hints(available, reuse cpuset.CPUSet, n int) []topology.Hint {
	nodes := m.m.ids(byNode)
	least := len(nodes)
	all, free, again := m.perNode(m.m.cpus()), m.perNode(available), m.perNode(reuse)
	out := []topology.Hint{}
	topology.Subsets(nodes, func(set topology.Mask) {
		total, matching, outside := 0, 0, 0
		for _, node := range nodes {
			if set.Has(node) {
				total += all[node]
				matching += free[node] + again[node]
			} else {
				outside += again[node]
			}
		}
		if total >= n {
			least = min(least, set.Count())
		}
		if outside == 0 && matching >= n {
			out = append(out, topology.Hint{Mask: set})
		}
	})
	for i := range out {
		out[i].Preferred = out[i].Mask.Count() == least || m.cfg.Options.BySocket && m.fewSockets(out[i].Mask, least)
	}
	return out
}

func (m *Manager) perNode(cpus cpuset.CPUSet) map[int]int {
	out := map[int]int{}
	for _, cpu := range cpus.UnsortedList() {
		out[m.m.layout[cpu].Node]++
	}
	return out
}

// fewSockets reports whether the nodes lie in as few sockets as the least number of nodes can.
func (m *Manager) fewSockets(set topology.Mask, least int) bool {
	perSocket := m.m.nodes / max(1, len(m.m.ids(bySocket)))
	if perSocket == 0 {
		return false
	}
	sockets := m.m.only(m.m.in(byNode, set.IDs()...)).ids(bySocket)
	return len(sockets) == (least+perSocket-1)/perSocket
}
