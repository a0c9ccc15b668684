package core

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Nodes is the kind Node. A node may be created with its status, since it is the node itself that creates it.
func Nodes() *api.Kind {
	return &api.Kind{
		Version: "v1", Kind: "Node", Resource: "nodes", Singular: "node", ShortNames: []string{"no"}, Prefix: "minions",
		New:     func() api.Object { return &corev1.Node{} },
		NewList: func() runtime.Object { return &corev1.NodeList{} },

		Default: api.On(defaultNode),
		PrepareCreate: api.On(func(n *corev1.Node) {
			n.Spec.ConfigSource = nil
			n.Status.Config = nil
			n.Spec.PodPreemptionPolicy = nil // alpha
		}),
		PrepareUpdate: api.OnChange(func(n, old *corev1.Node) {
			n.Status = old.Status
			if old.Spec.ConfigSource == nil {
				n.Spec.ConfigSource = nil
			}
			if old.Spec.PodPreemptionPolicy == nil {
				n.Spec.PodPreemptionPolicy = nil
			}
		}),
		Validate: api.Check(validateNode),
		ValidateUpdate: api.CheckChange(func(n, old *corev1.Node) field.ErrorList {
			return append(validateNode(n), validateNodeUpdate(n, old)...)
		}),
		Warnings:      func(obj, _ api.Object) []string { return nodeWarnings(obj.(*corev1.Node)) },
		Unconditional: true,
		Subresources: []api.Subresource{
			{
				Name: "proxy", Verbs: proxyVerbs, GVK: schemaGVK{Version: "v1", Kind: "NodeProxyOptions"},
				Connect: &api.Connect{Paths: true, Acts: kubeletActs, Options: func() runtime.Object { return &corev1.NodeProxyOptions{} }},
			},
			{
				Name: "status", Verbs: statusVerbs,
				PrepareUpdate: api.OnChange(func(n, old *corev1.Node) {
					n.Spec = old.Spec
					if old.Status.Config == nil {
						n.Status.Config = nil
					}
				}),
				ValidateUpdate: api.CheckChange(validateNodeUpdate),
			},
		},
		Columns: nodeColumns(),
		Row:     api.Cells(nodeRow),
		Fields: fieldsOf(func(n *corev1.Node) fields.Set {
			return fields.Set{"spec.unschedulable": strconv.FormatBool(n.Spec.Unschedulable)}
		}),
		FieldLabels: []string{"spec.unschedulable"},
	}
}

// kubeletActs tells whether a path of a kubelet, as one may name it through its node's proxy, acts in a container or on it
// rather than telling of it. Letter case does not matter, since who serves the path may be anybody's.
func kubeletActs(rest string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+rest), "/"), "/")
	return slices.ContainsFunc([]string{"exec", "attach", "portForward", "run", "cri", "checkpoint"}, func(a string) bool {
		return strings.EqualFold(first, a)
	})
}

func defaultNode(n *corev1.Node) {
	// podCIDR and the first of podCIDRs say the same; where they disagree podCIDR wins, for the sake of old clients.
	switch cidrs := n.Spec.PodCIDRs; {
	case n.Spec.PodCIDR != "" && (len(cidrs) == 0 || cidrs[0] != n.Spec.PodCIDR):
		n.Spec.PodCIDRs = []string{n.Spec.PodCIDR}
	case n.Spec.PodCIDR == "" && len(cidrs) > 0:
		n.Spec.PodCIDR = cidrs[0]
	}
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = n.Status.Capacity.DeepCopy()
	}
	roundResources(n.Status.Capacity)
	roundResources(n.Status.Allocatable)
}

func nodeWarnings(n *corev1.Node) []string {
	var out []string
	if n.Spec.ConfigSource != nil {
		out = append(out, "spec.configSource: the feature is removed")
	}
	if n.Spec.DoNotUseExternalID != "" {
		out = append(out, "spec.externalID: this field is deprecated, and is unused by Kubernetes")
	}
	for i, cidr := range n.Spec.PodCIDRs {
		out = append(out, validation.GetWarningsForCIDR(field.NewPath("spec", "podCIDRs").Index(i), cidr)...)
	}
	return out
}

func nodeColumns() []metav1.TableColumnDefinition {
	info, status := corev1.NodeSystemInfo{}.SwaggerDoc(), corev1.NodeStatus{}.SwaggerDoc()
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Status", "string", "The status of the node"),
		api.Column("Roles", "string", "The roles of the node"),
		api.AgeColumn(),
		api.Column("Version", "string", info["kubeletVersion"]),
		api.WideColumn("Internal-IP", "string", status["addresses"]),
		api.WideColumn("External-IP", "string", status["addresses"]),
		api.WideColumn("OS-Image", "string", info["osImage"]),
		api.WideColumn("Kernel-Version", "string", info["kernelVersion"]),
		api.WideColumn("Container-Runtime", "string", info["containerRuntimeVersion"]),
	}
}

func nodeRow(n *corev1.Node) []any {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type != corev1.NodeReady {
			continue
		}
		status = "NotReady"
		if c.Status == corev1.ConditionTrue {
			status = "Ready"
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	info := &n.Status.NodeInfo
	kernel := orUnknown(info.KernelVersion)
	if info.Architecture != "" {
		kernel += " (" + info.Architecture + ")"
	}
	return []any{
		n.Name, status, orNone(strings.Join(nodeRoles(n), ",")), n.CreationTimestamp, info.KubeletVersion,
		nodeAddress(n, corev1.NodeInternalIP), nodeAddress(n, corev1.NodeExternalIP),
		orUnknown(info.OSImage), kernel, orUnknown(info.ContainerRuntimeVersion),
	}
}

func nodeAddress(n *corev1.Node, typ corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == typ {
			return a.Address
		}
	}
	return none
}

// nodeRoles returns the names in "node-role.kubernetes.io/NAME" labels and the value of the older "kubernetes.io/role".
func nodeRoles(n *corev1.Node) []string {
	var roles []string
	for k, v := range n.Labels {
		if role, ok := strings.CutPrefix(k, "node-role.kubernetes.io/"); ok && role != "" {
			roles = append(roles, role)
		} else if k == "kubernetes.io/role" && v != "" {
			roles = append(roles, v)
		}
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

func orUnknown(s string) string {
	if s == "" {
		return unknown
	}
	return s
}
