package authz

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"
)

// Node authorizes kubelets: a node reads what its own pods name and nothing else of these kinds; what is left of its rights
// (writing its Node, its pods' status) NodeRestriction narrows by content.
type Node struct {
	rules []rbacv1.PolicyRule
	graph *graph
	door  client.Reader // nil: nothing is known but what pods name
}

// NewNode follows the pods of set; nil for one that is filled by hand. What leads from their claims to volumes is read through door
// when a node asks for it.
func NewNode(set *cache.Set, door client.Reader, rules []rbacv1.PolicyRule) *Node {
	n := &Node{rules: rules, graph: newGraph(), door: door}
	if set != nil {
		cache.For[*corev1.Pod](set, client.Pods, cache.Options{}).Handle(follow(n.graph.setPod))
	}
	return n
}

// NodeName tells whether user is a kubelet, and of which node ("" when its name does not say).
func NodeName(user api.User) (name string, isNode bool) {
	if !slices.Contains(user.Groups, api.GroupNodes) || !strings.HasPrefix(user.Name, "system:node:") {
		return "", false
	}
	return strings.TrimPrefix(user.Name, "system:node:"), true
}

// Authorize has no opinion on callers that are not nodes.
func (n *Node) Authorize(ctx context.Context, a Attributes) (Decision, string, error) {
	node, isNode := NodeName(a.User)
	if !isNode {
		return NoOpinion, "", nil
	}
	if node == "" {
		return NoOpinion, fmt.Sprintf("unknown node for user %q", a.User.Name), nil
	}
	ok, reason := n.decide(ctx, node, &a)
	if ok {
		return Allow, "", nil
	}
	return NoOpinion, reason, nil
}

func (n *Node) decide(ctx context.Context, node string, a *Attributes) (bool, string) {
	switch a.Group + "/" + a.Resource {
	case "/secrets", "/configmaps":
		return n.read(ctx, node, a)
	case "/persistentvolumeclaims":
		if a.Subresource == "status" {
			return n.updateStatus(ctx, node, a)
		}
		return n.get(ctx, node, a)
	case "/persistentvolumes", "resource.k8s.io/resourceclaims", "storage.k8s.io/volumeattachments":
		return n.get(ctx, node, a)
	case "/serviceaccounts":
		return n.serviceAccount(ctx, node, a)
	case "coordination.k8s.io/leases":
		return lease(node, a)
	case "storage.k8s.io/csinodes":
		return csiNode(node, a)
	case "resource.k8s.io/resourceslices":
		return n.resourceSlice(ctx, node, a)
	case "/nodes":
		return ownNode(node, a)
	case "/pods":
		return n.pod(ctx, node, a)
	case "certificates.k8s.io/podcertificaterequests":
		return n.podCertificateRequest(ctx, node, a)
	}
	return RulesAllow(a, n.rules), ""
}

// related tells whether a pod on node names the object, or something that leads to it.
func (n *Node) related(ctx context.Context, node string, a *Attributes) (bool, string) {
	if a.Name == "" {
		return false, "No Object name found"
	}
	v := vertex{a.Resource, a.Namespace, a.Name}
	if n.graph.related(v, node) || n.reaches(ctx, v, node) {
		return true, ""
	}
	return false, fmt.Sprintf("no relationship found between node '%s' and this object", node)
}

func (n *Node) get(ctx context.Context, node string, a *Attributes) (bool, string) {
	if a.Verb != "get" {
		return false, "can only get individual resources of this type"
	}
	if a.Subresource != "" {
		return false, "cannot get subresource"
	}
	return n.related(ctx, node, a)
}

// read allows get, list and watch of one object: kubelets watch the ConfigMaps and Secrets of their pods singly.
func (n *Node) read(ctx context.Context, node string, a *Attributes) (bool, string) {
	if !slices.Contains([]string{"get", "list", "watch"}, a.Verb) {
		return false, "can only read resources of this type"
	}
	if a.Subresource != "" {
		return false, "cannot read subresource"
	}
	if a.Namespace == "" {
		return false, "can only read namespaced object of this type"
	}
	return n.related(ctx, node, a)
}

func (n *Node) updateStatus(ctx context.Context, node string, a *Attributes) (bool, string) {
	if a.Verb != "update" && a.Verb != "patch" {
		return false, "can only get/update/patch this type"
	}
	return n.related(ctx, node, a)
}

func (n *Node) serviceAccount(ctx context.Context, node string, a *Attributes) (bool, string) {
	if a.Verb == "get" && a.Subresource == "" {
		return n.read(ctx, node, a)
	}
	if a.Verb != "create" || a.Name == "" {
		return false, "can only create tokens for individual service accounts"
	}
	if a.Subresource != "token" {
		return false, "can only create token subresource of serviceaccount"
	}
	if a.Namespace == metav1.NamespaceSystem && a.Name == api.ProxyAccount {
		return true, "" // NodeRestriction narrows it to tokens that are bound to its own Node
	}
	return n.related(ctx, node, a)
}

func lease(node string, a *Attributes) (bool, string) {
	if !slices.Contains([]string{"get", "create", "update", "patch", "delete"}, a.Verb) {
		return false, "can only get, create, update, patch, or delete a node lease"
	}
	if a.Namespace != corev1.NamespaceNodeLease {
		return false, fmt.Sprintf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	// The name is not known on create; NodeRestriction looks at it then.
	if a.Verb != "create" && a.Name != node {
		return false, "can only access node lease with the same name as the requesting node"
	}
	return true, ""
}

func csiNode(node string, a *Attributes) (bool, string) {
	if a.Subresource == "status" {
		return false, "CSINode status access requires CSIVolumeHealth feature"
	}
	if a.Subresource != "" {
		return false, "cannot authorize CSINode subresources"
	}
	if !slices.Contains([]string{"get", "create", "update", "patch", "delete"}, a.Verb) {
		return false, "can only get, create, update, patch, or delete a CSINode"
	}
	if a.Verb != "create" && a.Name != node {
		return false, "can only access CSINode with the same name as the requesting node"
	}
	return true, ""
}

func (n *Node) resourceSlice(ctx context.Context, node string, a *Attributes) (bool, string) {
	if a.Subresource != "" {
		return false, "cannot authorize ResourceSlice subresources"
	}
	switch a.Verb {
	case "create":
		return true, ""
	case "get", "update", "patch", "delete":
		return n.related(ctx, node, a)
	case "watch", "list", "deletecollection":
		if selects(a.FieldSelector, "spec.nodeName", node) {
			return true, ""
		}
		return false, "can only list/watch/deletecollection resourceslices with nodeName field selector"
	}
	return false, "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, delete, deletecollection"
}

func (n *Node) podCertificateRequest(ctx context.Context, node string, a *Attributes) (bool, string) {
	if a.Subresource != "" {
		return false, "nodes may not access the status subresource of PodCertificateRequests"
	}
	switch a.Verb {
	case "create":
		return true, ""
	case "get":
		return n.related(ctx, node, a)
	case "list", "watch":
		if selects(a.FieldSelector, "spec.nodeName", node) {
			return true, ""
		}
		return false, "can only list/watch podcertificaterequests with nodeName field selector"
	}
	return false, fmt.Sprintf("nodes may not %s podcertificaterequests", a.Verb)
}

func ownNode(node string, a *Attributes) (bool, string) {
	switch a.Subresource + ":" + a.Verb {
	case ":create", ":update", ":patch", "status:update", "status:patch":
		return true, "" // NodeRestriction narrows it to its own
	case ":get", ":list", ":watch":
		// By name and not by the graph, so that a kubelet may look for its Node before there is one.
		switch a.Name {
		case node:
			return true, ""
		case "":
			return false, fmt.Sprintf("node '%s' cannot read all nodes, only its own Node object", node)
		}
		return false, fmt.Sprintf("node '%s' cannot read '%s', only its own Node object", node, a.Name)
	}
	return false, ""
}

func (n *Node) pod(ctx context.Context, node string, a *Attributes) (bool, string) {
	switch a.Subresource + ":" + a.Verb {
	case ":get":
		return n.get(ctx, node, a)
	case ":list", ":watch":
		if selects(a.FieldSelector, "spec.nodeName", node) {
			return true, ""
		}
		if a.Name != "" {
			return n.related(ctx, node, a)
		}
		return false, "can only list/watch pods with spec.nodeName field selector"
	case ":create", ":delete", "status:update", "status:patch", "eviction:create":
		return true, "" // NodeRestriction narrows it to mirror pods, and to pods on the node
	}
	return false, ""
}

// selects tells whether a field selector demands field == value.
func selects(selector, field, value string) bool {
	if selector == "" {
		return false
	}
	sel, err := fields.ParseSelector(selector)
	if err != nil {
		return false
	}
	for _, r := range sel.Requirements() {
		if r.Field == field && r.Value == value && (r.Operator == selection.Equals || r.Operator == selection.DoubleEquals) {
			return true
		}
	}
	return false
}
