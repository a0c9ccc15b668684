package control_test

import (
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What was in use without having been charged, as objects are that come while their quota is new, counts soon after the next one comes.
func TestQuotaCountsWhatWasNotCharged(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		ctx := b.Context()
		get := func() *corev1.ResourceQuota {
			q, err := client.Get[*corev1.ResourceQuota](ctx, b.door, client.ResourceQuotas, "default", "q")
			if err != nil {
				b.Fatal(err)
			}
			return q
		}
		uses := func(want string) func() bool {
			return func() bool {
				n, ok := get().Status.Used["secrets"]
				return ok && n.String() == want
			}
		}
		create(b, client.ResourceQuotas, &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "q"},
			Spec:       corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"secrets": resource.MustParse("10")}},
		})
		b.await("a count", time.Minute, uses("0"))
		secret := func(name string) *corev1.Secret {
			return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
		}
		create(b, client.Secrets, secret("a"))
		b.await("a charge", time.Minute, uses("1"))
		time.Sleep(time.Minute)
		q := get().DeepCopy()
		q.Status.Used["secrets"] = resource.MustParse("0")
		if _, err := client.UpdateStatus(ctx, b.door, client.ResourceQuotas, q); err != nil {
			b.Fatal(err)
		}
		create(b, client.Secrets, secret("b"))
		b.await("both to be counted", 10*time.Second, uses("2"))
	})
}
