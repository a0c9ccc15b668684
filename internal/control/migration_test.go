package control_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	corev1 "k8s.io/api/core/v1"
	svmv1 "k8s.io/api/storagemigration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Migrations of one resource run one after the other and end; one of a resource that is not there fails in its time.
func TestMigration(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for i := range 5 {
			create(b, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("c", i)}})
		}
		migration := func(name, group, resource string) {
			create(b, client.StorageVersionMigrations, &svmv1.StorageVersionMigration{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: svmv1.StorageVersionMigrationSpec{Resource: metav1.GroupResource{Group: group, Resource: resource}}})
		}
		migration("one", "", "configmaps")
		migration("two", "", "configmaps")
		migration("bad", "example.com", "things")
		migration("reviews", "authorization.k8s.io", "subjectaccessreviews")
		state := func(name string) string {
			m, err := client.Get[*svmv1.StorageVersionMigration](b.Context(), b.door, client.StorageVersionMigrations, "", name)
			if err != nil {
				b.Fatal(err)
			}
			var out []string
			for _, c := range m.Status.Conditions {
				out = append(out, fmt.Sprintf("%s %s %s", c.Type, c.Status, c.Message))
			}
			return strings.Join(out, "; ")
		}
		b.settle(10 * time.Second)
		for _, name := range []string{"one", "two"} {
			if got := state(name); !strings.Contains(got, "Running False Migration completed") || !strings.Contains(got, "Succeeded True Migration completed") {
				b.Errorf("%s: %s", name, got)
			}
		}
		if got := state("bad"); !strings.HasPrefix(got, "Running True") || strings.Contains(got, "Failed") {
			b.Errorf("bad, early: %s", got)
		}
		b.settle(2 * time.Hour) // past the life of events
		if got := state("bad"); !strings.Contains(got, "Failed True resource does not exist in discovery") || !strings.Contains(got, "Running False") {
			b.Errorf("bad: %s", got)
		}
		if got := state("reviews"); !strings.Contains(got, "does not support discovery operations: [update patch list]") {
			b.Errorf("reviews: %s", got)
		}
		before := b.revision()
		b.settle(time.Hour)
		if n := b.revision() - before; n > 0 {
			b.Errorf("%d writes while nothing happened: %v", n, b.writtenSince(before))
		}
	})
}
