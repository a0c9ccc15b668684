package admit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/unbuilt"
	"sampan.dev/internal/node/podspec"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/node/util/sysctl"
	"k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
)

// Rejection is why a node does not run a pod.
type Rejection struct{ Reason, Message string }

// Fits is the node's own check of a pod that was bound to it, in upstream's order and words (pkg/kubelet/lifecycle/predicate.go).
// others are the pods that count against the node's resources. nil: the node takes it.
func Fits(pod *corev1.Pod, others []*corev1.Pod, node *corev1.Node) *Rejection {
	if os, ok := pod.Labels[corev1.LabelOSStable]; ok && os != node.Labels[corev1.LabelOSStable] {
		return &Rejection{"PodOSSelectorNodeLabelDoesNotMatch", "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"}
	}
	if pod.Spec.OS != nil && pod.Spec.OS.Name != corev1.Linux {
		return &Rejection{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"}
	}
	if r := fits(pod, others, node.Status.Allocatable); r != nil {
		return r
	}
	if ok, err := nodeaffinity.GetRequiredNodeAffinity(pod).Match(node); err != nil || !ok {
		return &Rejection{"NodeAffinity", "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"}
	}
	if portsTaken(pod, others) {
		return &Rejection{"NodePorts", "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports"}
	}
	if pods.IsStatic(pod) {
		return nil
	}
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect != corev1.TaintEffectNoExecute {
			continue
		}
		if !Tolerates(pod, t) {
			return &Rejection{"TaintToleration", "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate"}
		}
	}
	return nil
}

// Tolerates reports whether a pod tolerates a taint.
func Tolerates(pod *corev1.Pod, t *corev1.Taint) bool {
	return slices.ContainsFunc(pod.Spec.Tolerations, func(tol corev1.Toleration) bool { return tolerates(&tol, t) })
}

func tolerates(tol *corev1.Toleration, t *corev1.Taint) bool {
	if tol.Effect != "" && tol.Effect != t.Effect || tol.Key != "" && tol.Key != t.Key {
		return false
	}
	switch tol.Operator {
	case "", corev1.TolerationOpEqual:
		return tol.Value == t.Value
	case corev1.TolerationOpExists:
		return true
	}
	return false
}

// fits checks resources. Extended resources that the node does not have are passed over, as upstream does: they may belong
// to the cluster rather than to nodes.
func fits(pod *corev1.Pod, others []*corev1.Pod, allocatable corev1.ResourceList) *Rejection {
	if max := allocatable.Pods().Value(); int64(len(others))+1 > max && !allocatable.Pods().IsZero() {
		return &Rejection{"OutOfpods", fmt.Sprintf("Node didn't have enough resource: pods, requested: 1, used: %d, capacity: %d", len(others), max)}
	}
	value := func(name corev1.ResourceName, list corev1.ResourceList) int64 {
		q := list[name]
		if name == corev1.ResourceCPU {
			return q.MilliValue()
		}
		return q.Value()
	}
	want := resource.PodRequests(pod, resource.PodResourcesOptions{})
	names := make([]corev1.ResourceName, 0, len(want))
	for name := range want {
		names = append(names, name)
	}
	rank := func(n corev1.ResourceName) int {
		return slices.Index([]corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}, n)
	}
	slices.SortFunc(names, func(a, b corev1.ResourceName) int {
		ra, rb := rank(a), rank(b)
		if ra < 0 {
			ra = 9
		}
		if rb < 0 {
			rb = 9
		}
		return cmp.Or(cmp.Compare(ra, rb), cmp.Compare(a, b))
	})
	for _, name := range names {
		if _, known := allocatable[name]; !known && rank(name) < 0 {
			continue
		}
		ask, have := value(name, want), value(name, allocatable)
		if ask == 0 {
			continue
		}
		used := int64(0)
		for _, o := range others {
			used += value(name, resource.PodRequests(o, resource.PodResourcesOptions{UseStatusResources: true}))
		}
		if ask > have-used {
			return &Rejection{"OutOf" + string(name), fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d", name, ask, used, have)}
		}
	}
	return nil
}

// portsTaken reports whether a host port of the pod is in use by another.
func portsTaken(pod *corev1.Pod, others []*corev1.Pod) bool {
	type port struct {
		number int32
		proto  corev1.Protocol
	}
	taken := map[port][]string{}
	each := func(p *corev1.Pod, fn func(port, string)) {
		for i := range p.Spec.Containers {
			for _, cp := range p.Spec.Containers[i].Ports {
				if cp.HostPort > 0 {
					fn(port{cp.HostPort, cmp.Or(cp.Protocol, corev1.ProtocolTCP)}, cmp.Or(cp.HostIP, "0.0.0.0"))
				}
			}
		}
	}
	for _, o := range others {
		each(o, func(p port, ip string) { taken[p] = append(taken[p], ip) })
	}
	clash := false
	each(pod, func(p port, ip string) {
		for _, other := range taken[p] {
			if ip == other || ip == "0.0.0.0" || other == "0.0.0.0" {
				clash = true
			}
		}
	})
	return clash
}

// safeSysctls may be set by any pod; others must be allowed on the node by flag.
var safeSysctls = []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"}

// Sysctls refuses a pod that sets a kernel parameter that is neither safe nor allowed on the node by --allowed-unsafe-sysctls, or
// one of a namespace that it shares with the host.
func Sysctls(pod *corev1.Pod, unsafe []string) *Rejection {
	if pod.Spec.SecurityContext == nil {
		return nil
	}
	for _, s := range pod.Spec.SecurityContext.Sysctls {
		name := podspec.SysctlName(s.Name)
		if !sysctlAllowed(name, unsafe) {
			return &Rejection{"SysctlForbidden", fmt.Sprintf("forbidden sysctl: %q not allowlisted", s.Name)}
		}
		if of, _, _ := sysctl.GetNamespace(name); shares(pod, of) {
			return &Rejection{"SysctlForbidden", fmt.Sprintf("forbidden sysctl: %q not allowed with host %s enabled", name, of)}
		}
	}
	return nil
}

// shares reports whether a pod shares a namespace of that kind with the host.
func shares(pod *corev1.Pod, of sysctl.Namespace) bool {
	switch of {
	case sysctl.NetNamespace:
		return pod.Spec.HostNetwork
	case sysctl.IPCNamespace:
		return pod.Spec.HostIPC
	case sysctl.UserNamespace:
		return pod.Spec.HostUsers == nil || *pod.Spec.HostUsers
	}
	return false
}

func sysctlAllowed(name string, unsafe []string) bool {
	if slices.Contains(safeSysctls, name) {
		return true
	}
	return slices.ContainsFunc(unsafe, func(p string) bool {
		prefix, wild := strings.CutSuffix(p, "*")
		return p == name || wild && strings.HasPrefix(name, prefix)
	})
}

// Unbuilt calls tell with everything that a pod asks for and this kubelet does not act upon.
func Unbuilt(pod *corev1.Pod, tell func(what string)) {
	for _, f := range unbuilt.ForActor(&pod.Spec, unbuilt.Kubelet) {
		tell(f.String())
	}
}
