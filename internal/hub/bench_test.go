package hub

import (
	"fmt"
	"testing"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The benchmarks take a request through the whole pipeline, without a network.

const benchPod = `{"metadata":{"generateName":"p-","labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"busybox","command":["sleep","3600"],"resources":{"requests":{"cpu":"10m"}}}]}}`

func benchHub(b *testing.B) *Hub {
	return start(b, func(c *Config) { c.DisableAdmission = map[string]bool{"ServiceAccount": true} })
}

func BenchmarkCreatePod(b *testing.B) {
	h := benchHub(b)
	for b.Loop() {
		if a := do(h, "POST", "/api/v1/namespaces/default/pods", benchPod, "User-Agent: bench/1"); a.code != 201 {
			b.Fatalf("%d %s", a.code, a.body)
		}
	}
}

func BenchmarkGetPod(b *testing.B) {
	h := benchHub(b)
	name := dig(do(h, "POST", "/api/v1/namespaces/default/pods", benchPod).object(b), "metadata.name").(string)
	for b.Loop() {
		if a := do(h, "GET", "/api/v1/namespaces/default/pods/"+name, ""); a.code != 200 {
			b.Fatalf("%d %s", a.code, a.body)
		}
	}
}

func BenchmarkList1000Pods(b *testing.B) {
	h := benchHub(b)
	for range 1000 {
		do(h, "POST", "/api/v1/namespaces/default/pods", benchPod)
	}
	for _, accept := range []string{"application/json", "application/vnd.kubernetes.protobuf"} {
		b.Run(accept, func(b *testing.B) {
			for b.Loop() {
				if a := do(h, "GET", "/api/v1/pods", "", "Accept: "+accept); a.code != 200 {
					b.Fatalf("%d %s", a.code, a.body)
				}
			}
		})
	}
}

func BenchmarkUpdateLease(b *testing.B) {
	h := benchHub(b)
	const leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
	rv := dig(do(h, "POST", leases, `{"metadata":{"name":"n"},"spec":{"holderIdentity":"n"}}`).object(b), "metadata.resourceVersion")
	for i := 0; b.Loop(); i++ {
		body := fmt.Sprintf(`{"metadata":{"name":"n","resourceVersion":%q},"spec":{"holderIdentity":"n","renewTime":"2026-01-01T00:00:00.%06dZ"}}`, rv, i%1000000)
		a := do(h, "PUT", leases+"/n", body, "User-Agent: kubelet/1")
		if a.code != 200 {
			b.Fatalf("%d %s", a.code, a.body)
		}
		rv = dig(a.object(b), "metadata.resourceVersion")
	}
}

func BenchmarkLocalUpdate(b *testing.B) {
	h := benchHub(b)
	door := h.Door(api.User{Name: "u", Groups: []string{api.GroupMasters}}, "bench")
	cm, err := client.Create(b.Context(), door, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "c"}})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		c := cm.DeepCopy()
		c.Data = map[string]string{"i": fmt.Sprint(i)}
		if cm, err = client.Update(b.Context(), door, client.ConfigMaps, c); err != nil {
			b.Fatal(err)
		}
	}
}
