package authz

import (
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// Learn feeds the graph by hand.
func (n *Node) Learn(old, pod *corev1.Pod) { n.graph.setPod(old, pod) }

// Bind adds a binding by hand.
func (r *RBAC) Bind(b *rbacv1.RoleBinding) { r.setRoleBinding(nil, b) }
