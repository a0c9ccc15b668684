package plugin

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Pod is a pod with what the plugins need of it worked out once. It is immutable.
type Pod struct {
	*corev1.Pod
	Requests Resources // Pods is 1
	Assumed  Resources // CPU and memory for scoring
	Ports    []Port

	required  nodeaffinity.RequiredNodeAffinity
	preferred *nodeaffinity.PreferredSchedulingTerms
	images    []string // normalized, init containers included
}

// Port is a host port that a pod wants for itself.
type Port struct {
	IP       string // "0.0.0.0" for every address
	Protocol corev1.Protocol
	Port     int32
}

// NewPod works out what the plugins need. The pod is kept, not copied; it must be frozen.
func NewPod(pod *corev1.Pod) *Pod {
	p := &Pod{Pod: pod, Requests: requests(pod), Assumed: assumed(pod), required: nodeaffinity.GetRequiredNodeAffinity(pod)}
	p.Requests.Pods, p.Assumed.Pods = 1, 1
	if a := pod.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		// Terms were validated when the pod was written; those that do not parse prefer nothing.
		p.preferred, _ = nodeaffinity.NewPreferredSchedulingTerms(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			p.images = append(p.images, normalizedImage(list[i].Image))
		}
	}
	p.Ports = hostPorts(&pod.Spec)
	return p
}

// hostPorts of containers and of sidecars, which run beside them.
func hostPorts(spec *corev1.PodSpec) []Port {
	var ports []Port
	add := func(c *corev1.Container) {
		for _, cp := range c.Ports {
			if cp.HostPort <= 0 {
				continue
			}
			p := Port{IP: cp.HostIP, Protocol: cp.Protocol, Port: cp.HostPort}
			if p.IP == "" {
				p.IP = "0.0.0.0"
			}
			if p.Protocol == "" {
				p.Protocol = corev1.ProtocolTCP
			}
			ports = append(ports, p)
		}
	}
	for i := range spec.InitContainers {
		if r := spec.InitContainers[i].RestartPolicy; r != nil && *r == corev1.ContainerRestartPolicyAlways {
			add(&spec.InitContainers[i])
		}
	}
	for i := range spec.Containers {
		add(&spec.Containers[i])
	}
	return ports
}

// normalizedImage adds the tag that the runtime would assume.
func normalizedImage(name string) string {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") {
		name += ":latest"
	}
	return name
}
