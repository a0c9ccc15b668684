package authz_test

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/authz"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A decision looks at the caller's bindings only, however many there are of others.
func BenchmarkManyBindings(b *testing.B) {
	r := authz.NewRBAC(nil)
	for i := range 20000 {
		ns := fmt.Sprint("ns", i)
		r.Bind(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "b"}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "none"},
			Subjects: []rbacv1.Subject{{Kind: "User", Name: fmt.Sprint("user", i)}}})
	}
	a := authz.Attributes{User: api.User{Name: "user7", Groups: []string{"system:authenticated"}}, Verb: "get", Resource: "pods", Namespace: "ns9"}
	for b.Loop() {
		if d, _, _ := r.Authorize(b.Context(), a); d != authz.NoOpinion {
			b.Fatal(d)
		}
	}
}
