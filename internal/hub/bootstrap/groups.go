package bootstrap

import (
	"sampan.dev/internal/api"

	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// groupRights returns the roles with what upstream adds to them when the feature GenericWorkload is on: who may read and write the
// groups of pods, and the role of the controller that protects them.
func groupRights(roles []api.Object) []api.Object {
	const protection = "system:controller:podgroup-protection-controller"
	of := func(resources []string, verbs ...string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: []string{schedulingv1alpha3.GroupName}, Resources: resources, Verbs: verbs}
	}
	read := of([]string{"podgroups", "podgroups/status", "workloads"}, "get", "list", "watch")
	write := of([]string{"podgroups", "workloads"}, "create", "delete", "deletecollection", "patch", "update")
	more := map[string][]rbacv1.PolicyRule{
		"system:aggregate-to-view": {read}, "view": {read},
		"system:aggregate-to-edit": {write}, "edit": {read, write}, "admin": {read, write},
		"system:kube-scheduler": {of([]string{"podgroups"}, "get", "list", "watch"), of([]string{"podgroups/status"}, "patch", "update")},
	}
	out := make([]api.Object, 0, len(roles)+2)
	for _, o := range roles {
		if r, ok := o.(*rbacv1.ClusterRole); ok && more[r.Name] != nil {
			r = r.DeepCopy()
			r.Rules = append(r.Rules, more[r.Name]...)
			o = r
		}
		out = append(out, o)
	}
	meta := metav1.ObjectMeta{
		Name: protection, Labels: map[string]string{"kubernetes.io/bootstrapping": "rbac-defaults"},
		Annotations: map[string]string{rbacv1.AutoUpdateAnnotationKey: "true"},
	}
	return append(out,
		&rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
			of([]string{"podgroups"}, "get", "list", "update", "watch"),
			{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "watch"}},
		}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: protection},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: metav1.NamespaceSystem, Name: "podgroup-protection-controller"}},
		})
}
