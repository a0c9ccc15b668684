package plugin

import (
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api/pods"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Pod is a pod with what the plugins need of it worked out once. It is immutable.
type Pod struct {
	*corev1.Pod
	Requests Resources // Pods is 1
	Assumed  Resources // CPU and memory for scoring
	Ports    []Port
	Claimed  bool // a volume of it has a claim
	Disks    bool // it names a disk itself that a node can have but once
	Devices  bool // it has claims of devices
	// Signature is the same for two pods of one profile only if every plugin of the profile answers alike for both on every
	// node. "" is the signature of pods that are like no other, and of those that already have a node. A Signer makes it.
	Signature string
	// Epoch is the sum of the epochs of the plugins (see Dated) when the signature was made.
	Epoch uint64
	Terms *Terms   // of affinity to other pods; nil when there are none
	Views *[2]View // of the plugins that count pods by terms and constraints; nil until one of them looks at the pod

	selective bool // has a node selector or node affinity: required says something
	required  nodeaffinity.RequiredNodeAffinity
	preferred *nodeaffinity.PreferredSchedulingTerms
	images    []string // normalized, init containers included
	features  []string // of kubelets, that it needs
}

// View is what a plugin has worked out of a pod that waits for a node, and when, by the plugin's epoch.
type View struct {
	Epoch uint64
	Of    any
}

// View returns the pod's view of the plugin that has number i, for it to read and to change. It belongs to the scheduler's
// goroutine.
func (p *Pod) View(i int) *View {
	if p.Views == nil {
		p.Views = new([2]View)
	}
	return &p.Views[i]
}

// Port is a host port that a pod wants for itself.
type Port struct {
	IP       string // "0.0.0.0" for every address
	Protocol corev1.Protocol
	Port     int32
}

// NewPod works out what the plugins need. The pod is kept, not copied; it must be frozen.
func NewPod(pod *corev1.Pod) *Pod {
	p := &Pod{Pod: pod}
	p.take()
	if len(pod.Spec.NodeSelector) > 0 || nodeAffinity(pod) != nil {
		p.selective, p.required = true, nodeaffinity.GetRequiredNodeAffinity(pod)
	}
	if a := nodeAffinity(pod); a != nil {
		// Terms were validated when the pod was written; those that do not parse prefer nothing.
		p.preferred, _ = nodeaffinity.NewPreferredSchedulingTerms(a.PreferredDuringSchedulingIgnoredDuringExecution)
	}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			p.images = append(p.images, normalizedImage(list[i].Image))
		}
	}
	p.Terms, p.features = termsOf(pod), featuresOf(p)
	p.Devices = len(pod.Spec.ResourceClaims) > 0
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		p.Claimed = p.Claimed || v.PersistentVolumeClaim != nil || v.Ephemeral != nil
		p.Disks = p.Disks || v.GCEPersistentDisk != nil || v.AWSElasticBlockStore != nil || v.ISCSI != nil || v.RBD != nil
	}
	return p
}

// take works out what the pod takes of a node.
func (p *Pod) take() {
	var ok bool
	if p.Requests, p.Assumed, ok = simple(p.Pod); !ok {
		p.Requests, p.Assumed = requests(p.Pod), assumed(p.Pod)
	}
	p.Requests.Pods, p.Assumed.Pods = 1, 1
	p.Ports = hostPorts(&p.Spec)
}

// Renewed returns p for a newer version of its pod. Nothing is worked out again when only the node or the conditions have
// changed, as they do for every pod soon after it is bound.
func (p *Pod) Renewed(pod *corev1.Pod) *Pod {
	if pod.UID != p.UID || pod.Generation != p.Generation || pod.Generation == 0 ||
		len(pod.Status.ContainerStatuses) > 0 || len(p.Status.ContainerStatuses) > 0 {
		return NewPod(pod)
	}
	c := *p
	c.Pod, c.Views = pod, nil
	return &c
}

// Priority is the pod's priority; without one it is 0.
func (p *Pod) Priority() int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// SameNeeds reports whether the two take the same from a node.
func (p *Pod) SameNeeds(o *Pod) bool {
	return p.Requests.equal(&o.Requests) && p.Assumed.equal(&o.Assumed) && slices.Equal(p.Ports, o.Ports)
}

// SameMarks reports whether the two look the same to plugins that count pods on nodes by their labels.
func (p *Pod) SameMarks(o *Pod) bool {
	return maps.Equal(p.Labels, o.Labels) && (p.DeletionTimestamp == nil) == (o.DeletionTimestamp == nil)
}

// Selects reports whether the pod's node selector and required node affinity name the node.
func (p *Pod) Selects(n *Node) bool {
	if !p.selective {
		return true
	}
	ok, _ := p.required.Match(n.Node)
	return ok
}

// Tolerates reports whether no taint of the node keeps the pod away.
func (p *Pod) Tolerates(n *Node) bool { return TaintToleration{}.Filter(p, n).Fits() }

func nodeAffinity(pod *corev1.Pod) *corev1.NodeAffinity {
	if pod.Spec.Affinity == nil {
		return nil
	}
	return pod.Spec.Affinity.NodeAffinity
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
		if pods.IsSidecar(&spec.InitContainers[i]) {
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
