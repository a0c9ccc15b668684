package hubtest

import (
	"testing"

	"sampan.dev/internal/client"
	informers "sampan.dev/internal/client/cache"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (h *Hub) rolesSeen(t testing.TB) bool {
	t.Helper()
	none := informers.Options{}
	for _, k := range []struct {
		ref client.Ref
		rev func() string // that the authorizer has been told of
	}{
		{client.Ref{Resource: client.Roles}, informers.For[*rbacv1.Role](h.Informers, client.Roles, none).Told},
		{client.Ref{Resource: client.RoleBindings}, informers.For[*rbacv1.RoleBinding](h.Informers, client.RoleBindings, none).Told},
		{client.Ref{Resource: client.ClusterRoles}, informers.For[*rbacv1.ClusterRole](h.Informers, client.ClusterRoles, none).Told},
		{client.Ref{Resource: client.ClusterRoleBindings}, informers.For[*rbacv1.ClusterRoleBinding](h.Informers, client.ClusterRoleBindings, none).Told},
	} {
		l, err := h.Root.List(t.Context(), k.ref, metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		newest := "0"
		for _, o := range l.Items {
			if rv := o.GetResourceVersion(); len(rv) > len(newest) || len(rv) == len(newest) && rv > newest {
				newest = rv
			}
		}
		if have := k.rev(); len(have) < len(newest) || len(have) == len(newest) && have < newest {
			return false
		}
	}
	return true
}
