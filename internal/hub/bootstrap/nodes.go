package bootstrap

import (
	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeRBAC lets a node's own proxy and DNS work with the node's identity, since they run in the kubelet's process: they read
// Services, EndpointSlices and Nodes as upstream's kube-proxy does, and publish where the node's DNS answers.
func nodeRBAC() []api.Object {
	nodes := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: api.GroupNodes}}
	dns := metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "sampan:node-dns"}
	lives := metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: "sampan:node-lease-reader"}
	return []api.Object{
		// The approving controller lets nobody join under the name of a node that is alive.
		&rbacv1.Role{ObjectMeta: lives, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: lives,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: lives.Name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: "certificate-controller"}},
		},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "sampan:node-proxier"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-proxier"},
			Subjects:   nodes,
		},
		&rbacv1.Role{ObjectMeta: dns, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"},
			Verbs: []string{"get", "create", "update", "patch", "delete"},
		}}},
		&rbacv1.RoleBinding{
			ObjectMeta: dns,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: dns.Name},
			Subjects:   nodes,
		},
	}
}
