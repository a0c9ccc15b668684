package kubelet

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/api/validate/content"
)

// Labels reads --node-labels. Of the labels in Kubernetes' own domains a node may say only some of itself, since others
// trust them; the API server would refuse the rest at registration, again and again.
func Labels(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	set := map[string]string{}
	for _, item := range strings.Split(s, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		if !ok {
			return nil, fmt.Errorf("--node-labels %q: want key=value", item)
		}
		if msgs := append(content.IsLabelKey(key), content.IsLabelValue(value)...); len(msgs) > 0 {
			return nil, fmt.Errorf("--node-labels %q: %s", item, strings.Join(msgs, "; "))
		}
		set[key] = value
	}
	var bad []string
	for _, key := range slices.Sorted(maps.Keys(set)) {
		domain, _, _ := strings.Cut(key, "/")
		reserved := inDomain(domain, "kubernetes.io") || inDomain(domain, "k8s.io")
		if reserved && !slices.Contains(kubeletLabels, key) && !inDomain(domain, "kubelet.kubernetes.io") && !inDomain(domain, "node.kubernetes.io") {
			bad = append(bad, key)
		}
	}
	if len(bad) > 0 {
		return nil, fmt.Errorf("unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: %v\n"+
			"--node-labels in the 'kubernetes.io' namespace must begin with an allowed prefix (kubelet.kubernetes.io, node.kubernetes.io) or be in the specifically allowed set (%s)",
			bad, strings.Join(kubeletLabels, ", "))
	}
	return set, nil
}

var kubeletLabels = []string{
	"beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
	"failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone",
	corev1.LabelArchStable, corev1.LabelHostname, corev1.LabelOSStable,
	corev1.LabelInstanceTypeStable, corev1.LabelTopologyRegion, corev1.LabelTopologyZone,
}

// inDomain reports whether domain is parent or below it.
func inDomain(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

// Taints reads key=value:effect or key:effect, comma separated.
func Taints(s string) ([]corev1.Taint, error) {
	var taints []corev1.Taint
	for _, item := range strings.Split(s, ",") {
		if item == "" {
			continue
		}
		pair, effect, ok := strings.Cut(item, ":")
		if !ok {
			return nil, fmt.Errorf("--register-with-taints %q: want key=value:effect", item)
		}
		switch corev1.TaintEffect(effect) {
		case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		default:
			return nil, fmt.Errorf("--register-with-taints %q: invalid taint effect: %v", item, effect)
		}
		key, value, _ := strings.Cut(pair, "=")
		if msgs := append(content.IsLabelKey(key), content.IsLabelValue(value)...); len(msgs) > 0 {
			return nil, fmt.Errorf("--register-with-taints %q: %s", item, strings.Join(msgs, "; "))
		}
		taints = append(taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	return taints, nil
}

// Reserves is what a node keeps from its pods.
type Reserves struct {
	System, Kube corev1.ResourceList
	EvictionHard map[string]string // nil means the defaults
}

// ReadReserves reads --system-reserved, --kube-reserved and --eviction-hard ("" for the defaults).
func ReadReserves(system, kube map[string]string, evictionHard string) (r Reserves, err error) {
	if r.System, err = reservedResources("--system-reserved", system); err != nil {
		return r, err
	}
	if r.Kube, err = reservedResources("--kube-reserved", kube); err != nil {
		return r, err
	}
	if evictionHard == "" {
		return r, nil
	}
	r.EvictionHard = map[string]string{}
	for _, item := range strings.Split(evictionHard, ",") {
		signal, amount, ok := strings.Cut(item, "<")
		if !ok || !slices.Contains(evictionSignals, signal) {
			return r, fmt.Errorf("--eviction-hard %q: want SIGNAL<AMOUNT with SIGNAL one of %s", item, strings.Join(evictionSignals, ", "))
		}
		number := strings.TrimSuffix(amount, "%")
		if _, err := resource.ParseQuantity(number); err != nil {
			return r, fmt.Errorf("--eviction-hard %q: %w", item, err)
		}
		r.EvictionHard[signal] = amount
	}
	return r, nil
}

var evictionSignals = []string{"memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available", "imagefs.inodesFree", "pid.available"}

func reservedResources(flag string, m map[string]string) (corev1.ResourceList, error) {
	list := corev1.ResourceList{}
	for name, amount := range m {
		switch name {
		case "cpu", "memory", "ephemeral-storage", "pid":
		default:
			return nil, fmt.Errorf("%s: cannot reserve %q resource", flag, name)
		}
		q, err := resource.ParseQuantity(amount)
		if err != nil {
			return nil, fmt.Errorf("%s: failed to parse quantity %q for %q resource: %w", flag, amount, name, err)
		}
		if q.Sign() == -1 {
			return nil, fmt.Errorf("%s: resource quantity for %q cannot be negative: %v", flag, name, amount)
		}
		list[corev1.ResourceName(name)] = q
	}
	return list, nil
}

// NodeIPs are the addresses of --node-ip: one, or one of each family with the preferred first.
func NodeIPs(s string) ([]net.IP, error) {
	if s == "" {
		return nil, nil
	}
	var ips []net.IP
	for _, item := range strings.Split(s, ",") {
		ip := net.ParseIP(strings.TrimSpace(item))
		if ip == nil {
			return nil, fmt.Errorf("--node-ip %q: not an IP address", item)
		}
		ips = append(ips, ip)
	}
	if len(ips) > 2 || len(ips) == 2 && (ips[0].To4() == nil) == (ips[1].To4() == nil) {
		return nil, fmt.Errorf("--node-ip %q: want one address, or one of each family", s)
	}
	return ips, nil
}
