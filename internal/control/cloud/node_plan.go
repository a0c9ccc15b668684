package cloud

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sampan.dev/internal/cloud"
	"sampan.dev/internal/pattern"

	corev1 "k8s.io/api/core/v1"
)

const (
	// taintUninitialized is on a node from its registration until the cloud has said what it is.
	taintUninitialized = "node.cloudprovider.kubernetes.io/uninitialized"
	// taintShutdown is on a node whose machine is shut down.
	taintShutdown = "node.cloudprovider.kubernetes.io/shutdown"
	// annProvidedIP is the address that the kubelet was told to use (--node-ip).
	annProvidedIP = "alpha.kubernetes.io/provided-node-ip"
)

func hasTaint(n *corev1.Node, key string) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

func withoutTaint(taints []corev1.Taint, key string) []corev1.Taint {
	return slices.DeleteFunc(slices.Clone(taints), func(t corev1.Taint) bool { return t.Key == key })
}

// agreeing are labels of which the second has the value of the first, where there is one.
var agreeing = [][2]string{
	{corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone},
	{corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion},
	{corev1.LabelInstanceType, corev1.LabelInstanceTypeStable},
}

// ownLabel is a label of Kubernetes' own, which a cloud has no business with.
var ownLabel = pattern.New(`(^|\.)(kubernetes|k8s)\.io/`)

// initialized returns a node as its cloud describes it, without the taint.
func initialized(n *corev1.Node, m *cloud.InstanceMetadata) (*corev1.Node, error) {
	out := n.DeepCopy()
	switch {
	case out.Spec.ProviderID != "":
	case m.ProviderID == "":
		return nil, fmt.Errorf("cloud provider does not set node provider ID for node %s", n.Name)
	default:
		out.Spec.ProviderID = m.ProviderID
	}
	if _, err := preferred(n, m.NodeAddresses); err != nil {
		return nil, fmt.Errorf("provided node ip for node %q is not valid: %w", n.Name, err)
	}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	for i, value := range []string{m.Zone, m.Region, m.InstanceType} {
		if value != "" {
			out.Labels[agreeing[i][0]], out.Labels[agreeing[i][1]] = value, value
		}
	}
	for k, v := range m.AdditionalLabels {
		if _, there := out.Labels[k]; !there && !ownLabel.MatchString(k) {
			out.Labels[k] = v
		}
	}
	out.Spec.Taints = withoutTaint(out.Spec.Taints, taintUninitialized)
	return out, nil
}

// agreed returns the labels of a node with those of old and new names alike; nil when they are so already.
func agreed(n *corev1.Node) map[string]string {
	var out map[string]string
	for _, pair := range agreeing {
		if v, ok := n.Labels[pair[0]]; ok && n.Labels[pair[1]] != v {
			if out == nil {
				out = maps.Clone(n.Labels)
			}
			out[pair[1]] = v
		}
	}
	return out
}

// addressesOf are the addresses a node has by what its cloud says; nil when they are those that it has.
func addressesOf(n *corev1.Node, given []corev1.NodeAddress) ([]corev1.NodeAddress, error) {
	if len(given) == 0 {
		return nil, nil
	}
	out := slices.Clone(given)
	isName := func(a corev1.NodeAddress) bool { return a.Type == corev1.NodeHostName }
	if !slices.ContainsFunc(out, isName) { // the kubelet knows better
		for _, a := range n.Status.Addresses {
			if isName(a) {
				out = append(out, a)
			}
		}
	}
	out, err := preferred(n, out)
	if err != nil || slices.Equal(out, n.Status.Addresses) {
		return nil, err
	}
	return out, nil
}

// preferred puts the address that the kubelet was told to use before the others, and leaves out others of its type. It must be one
// that the cloud knows.
func preferred(n *corev1.Node, given []corev1.NodeAddress) ([]corev1.NodeAddress, error) {
	told, ok := n.Annotations[annProvidedIP]
	if !ok {
		return given, nil
	}
	var out []corev1.NodeAddress
	types := map[corev1.NodeAddressType]bool{}
	for s := range strings.SplitSeq(told, ",") {
		ip, err := netip.ParseAddr(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("failed to parse node IP %q: %w", told, err)
		}
		before := len(out)
		for _, a := range given {
			if is, err := netip.ParseAddr(a.Address); err == nil && is == ip {
				out, types[a.Type] = append(out, a), true
			}
		}
		if len(out) == before {
			return nil, fmt.Errorf("failed to get node address from cloud provider that matches ip: %v", ip)
		}
	}
	for _, a := range given {
		if !types[a.Type] {
			out = append(out, a)
		}
	}
	return out, nil
}

func nodeReference(n *corev1.Node) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}
}
