package admit_test

import (
	"fmt"
	"sync"
	"testing"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Of many who come at once no more are let in than there is room for, what they use is charged before they are stored, and a dry run is
// refused like any other request.
func TestResourceQuota(t *testing.T) {
	h := newHub(t)
	ctx := t.Context()
	hard := corev1.ResourceList{"pods": resource.MustParse("5"), "requests.cpu": resource.MustParse("2")}
	q, err := client.Create(ctx, h.Root, client.ResourceQuotas, &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "q"}, Spec: corev1.ResourceQuotaSpec{Hard: hard}})
	if err != nil {
		t.Fatal(err)
	}
	pod := func(name, cpu string) *corev1.Pod {
		p := simplePod(name)
		if cpu != "" {
			p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse(cpu)}
		}
		return p
	}
	q = q.DeepCopy()
	q.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: corev1.ResourceList{"pods": resource.MustParse("0"), "requests.cpu": resource.MustParse("0")}}
	if _, err := client.UpdateStatus(ctx, h.Root, client.ResourceQuotas, q); err != nil {
		t.Fatal(err)
	}
	_, err = client.Create(ctx, h.Root, client.Pods, pod("bare", ""))
	wantError(t, "no request", err, `pods "bare" is forbidden: failed quota: q: must specify requests.cpu for: c`)
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 20 {
		wg.Go(func() {
			name := fmt.Sprint("p", i)
			_, err := client.Create(ctx, h.Root, client.Pods, pod(name, "100m"))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
				return
			}
			wantError(t, name, err, fmt.Sprintf(`pods %q is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5`, name))
		})
	}
	wg.Wait()
	if made != 5 {
		t.Errorf("%d pods were made", made)
	}
	q, err = client.Get[*corev1.ResourceQuota](ctx, h.Root, client.ResourceQuotas, "default", "q")
	if err != nil || q.Status.Used.Pods().Value() != 5 || q.Status.Used.Name("requests.cpu", resource.DecimalSI).MilliValue() != 500 {
		t.Errorf("%v %v", q.Status.Used, err)
	}
	_, err = h.Root.Create(ctx, client.Ref{Resource: client.Pods, Namespace: "default"}, pod("dry", "100m"), metav1.CreateOptions{DryRun: []string{"All"}})
	wantError(t, "dry run", err, `pods "dry" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5`)
	if _, err := client.Create(ctx, h.Root, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "free"}}); err != nil {
		t.Error(err)
	}
}
