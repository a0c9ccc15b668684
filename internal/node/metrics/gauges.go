package metrics

import (
	corev1 "k8s.io/api/core/v1"
)

// State is how a node is when somebody asks.
type State struct {
	Node, Version string
	CgroupVersion int
	// Desired and Active are pods by whether they are static: that the kubelet has to run, and those of them that count against the node.
	Desired, Active map[bool]int
	Ephemeral       int // ephemeral containers of these
	Sandboxes       int // pods whose sandbox is ready
	Containers      map[string]int
}

// Count counts a pod.
func (s *State) Count(pod *corev1.Pod, static, active bool) {
	if s.Desired == nil {
		s.Desired, s.Active = map[bool]int{}, map[bool]int{}
	}
	s.Desired[static]++
	if active {
		s.Active[static]++
	}
	s.Ephemeral += len(pod.Spec.EphemeralContainers)
}

// Gauges are the metrics of a state.
func (s *State) Gauges() []Gauge {
	out := []Gauge{
		{"kubernetes_build_info", "BETA", "A metric with a constant '1' value labeled by version.", map[string]string{"git_version": s.Version}, 1},
		{"kubelet_node_name", "ALPHA", "The node's name. The count is always 1.", map[string]string{"node": s.Node}, 1},
		{"kubelet_cgroup_version", "ALPHA", "cgroup version on the hosts.", nil, float64(s.CgroupVersion)},
		{"kubelet_running_pods", "ALPHA", "Number of pods that have a running pod sandbox", nil, float64(s.Sandboxes)},
		{"kubelet_managed_ephemeral_containers", "ALPHA", "Current number of ephemeral containers in pods managed by this kubelet.", nil, float64(s.Ephemeral)},
		{"kubelet_mirror_pods", "ALPHA", "The number of mirror pods the kubelet will try to create (one per admitted static pod)", nil, float64(s.Active[true])},
	}
	for _, static := range []bool{false, true} {
		is := map[string]string{"static": map[bool]string{true: "true"}[static]} // of others it is "", as upstream's
		out = append(out,
			Gauge{"kubelet_desired_pods", "ALPHA", "The number of pods the kubelet is being instructed to run. static is true if the pod is not from the apiserver.", is, float64(s.Desired[static])},
			Gauge{"kubelet_active_pods", "ALPHA", "The number of pods the kubelet considers active and which are being considered when admitting new pods. static is true if the pod is not from the apiserver.", is, float64(s.Active[static])})
	}
	for state, n := range s.Containers {
		out = append(out, Gauge{"kubelet_running_containers", "ALPHA", "Number of containers currently running", map[string]string{"container_state": state}, float64(n)})
	}
	return out
}
