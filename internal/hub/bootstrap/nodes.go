package bootstrap

import (
	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// retired are bindings that an older version made and that grant what nobody is to have any more, with their roles.
var retired = map[string]string{"sampan:node-proxier": "system:node-proxier"} // of all nodes: a proxy has an identity of its own

// proxyAccounts has the account that the proxies of nodes elsewhere speak as.
func proxyAccounts() []api.Object {
	return []api.Object{&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: api.ProxyAccount}}}
}

// nodeRBAC lets a node's proxy, network and DNS, which run in the kubelet's process, read Services, EndpointSlices and Nodes as
// upstream's kube-proxy does, by an account of their own, and the node publish where its DNS answers.
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
			ObjectMeta: metav1.ObjectMeta{Name: "kubeadm:node-proxier"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-proxier"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: api.ProxyAccount}},
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
