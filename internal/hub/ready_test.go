package hub

import (
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A component that starts as soon as the hub is ready may do what the bootstrap roles let it: who is refused waits for
// seconds before it asks again.
func TestReadyMeansThatComponentsMayWork(t *testing.T) {
	for range 20 {
		h := start(t, nil)
		door := h.Door(api.User{Name: "system:kube-controller-manager", Groups: []string{api.GroupAuthenticated}}, "test")
		l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-controller-manager"}}
		if _, err := client.Create(t.Context(), door, client.Leases, l); err != nil {
			t.Fatal(err)
		}
	}
}
