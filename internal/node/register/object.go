package register

import (
	"maps"
	"net"
	"slices"
	"strings"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/api/volumes"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// AnnotationAttachDetach says that the control plane attaches volumes to the node.
	AnnotationAttachDetach = "volumes.kubernetes.io/controller-managed-attach-detach"
	annotationCRISocket    = "kubeadm.alpha.kubernetes.io/cri-socket"
	annotationProvidedIP   = "alpha.kubernetes.io/provided-node-ip"
	taintUninitialized     = "node.cloudprovider.kubernetes.io/uninitialized"
)

// ownLabels are the node labels that describe the machine.
var ownLabels = []string{corev1.LabelHostname, corev1.LabelOSStable, corev1.LabelArchStable, "beta.kubernetes.io/os", "beta.kubernetes.io/arch",
	corev1.LabelInstanceTypeStable, corev1.LabelTopologyZone, corev1.LabelTopologyRegion}

// identity is what the node says of itself apart from its state: name, labels and annotations.
func (c *Config) identity() *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: c.Name,
		Labels: map[string]string{
			corev1.LabelHostname: c.Hostname, corev1.LabelOSStable: "linux", corev1.LabelArchStable: Arch,
			"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": Arch,
		},
		Annotations: map[string]string{AnnotationAttachDetach: "true"},
	}}
	if c.RuntimeEndpoint != "" {
		n.Annotations[annotationCRISocket] = c.RuntimeEndpoint
	}
	maps.Copy(n.Labels, c.Labels)
	maps.Copy(n.Annotations, c.Annotations)
	return n
}

// initial is the node as it is registered, but for its status.
func (c *Config) initial() *corev1.Node {
	n := c.identity()
	n.Spec.Taints = slices.Clone(c.Taints)
	n.Spec.Unschedulable = c.Unschedulable
	if c.Unschedulable {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeUnschedulable, Effect: corev1.TaintEffectNoSchedule})
	}
	n.Spec.ProviderID = c.ProviderID
	if c.CloudProvider == "external" {
		n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: taintUninitialized, Value: "true", Effect: corev1.TaintEffectNoSchedule})
		if len(c.IPs) > 0 {
			n.Annotations[annotationProvidedIP] = joinIPs(c.IPs)
		}
	}
	return n
}

func joinIPs(ips []net.IP) string {
	var out []string
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return strings.Join(out, ",")
}

// corrections are the labels and annotations of have that are the kubelet's to say and are not as in want. Others of --node-labels
// count at registration only: what an administrator has changed since stays.
func corrections(have, want *corev1.Node) (labels, annotations map[string]any) {
	labels = missing(have.Labels, want.Labels, ownLabels)
	annotations = missing(have.Annotations, want.Annotations, []string{AnnotationAttachDetach, annotationCRISocket, volumes.LocalDir, pods.EndsExclusiveAfter})
	if _, promised := have.Annotations[pods.EndsExclusiveAfter]; promised && want.Annotations[pods.EndsExclusiveAfter] == "" {
		annotations[pods.EndsExclusiveAfter] = nil // an earlier kubelet's promise, which this one does not keep
	}
	return labels, annotations
}

// missing is what of want's keys have does not say.
func missing(have, want map[string]string, keys []string) map[string]any {
	out := map[string]any{}
	for _, key := range keys {
		v, wanted := want[key]
		if is, ok := have[key]; wanted && (!ok || is != v) {
			out[key] = v
		}
	}
	return out
}
