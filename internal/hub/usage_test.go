package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/catalog"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const metricsPath = "/apis/metrics.k8s.io/v1beta1"

// What nodes and pods use is reckoned from two readings of their kubelets, which are taken when somebody asks.
func TestMetricsOfNodesAndPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		began := time.Now()
		h := start(t, func(c *Config) {
			bare(c)
			c.ReadKubelet = func(_ context.Context, node, path string) ([]byte, error) {
				if asked.Add(1); node == "dead" || path != "/metrics/resource" {
					return nil, errors.New("no answer")
				}
				s := time.Since(began).Seconds()
				at := time.Now().UnixMilli()
				return fmt.Appendf(nil, "node_cpu_usage_seconds_total %g %d\nnode_memory_working_set_bytes 2.097152e+06 %d\n"+
					"container_cpu_usage_seconds_total{container=\"c\",namespace=\"default\",pod=\"p\"} %g %d\ncontainer_memory_working_set_bytes{container=\"c\",namespace=\"default\",pod=\"p\"} 1048576 %d\n",
					s/2, at, at, s/4, at, at), nil
			}
		})
		for _, name := range []string{"n", "dead"} {
			if _, err := client.Create(t.Context(), h.Own(), client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"which": name}}}); err != nil {
				t.Fatal(err)
			}
		}
		for i, name := range []string{"p", "q"} {
			pod, err := client.Create(t.Context(), h.Own(), client.Pods, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"a": "b"}},
				Spec:       corev1.PodSpec{NodeName: []string{"n", "dead"}[i], Containers: []corev1.Container{{Name: "c", Image: "i"}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			pod = pod.DeepCopy()
			pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}}
			if _, err := client.UpdateStatus(t.Context(), h.Own(), client.Pods, pod); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour)
		if n := asked.Load(); n != 0 {
			t.Errorf("asked %d times for nobody", n)
		}
		items := func(a answer) []any { return dig(a.object(t), "items").([]any) }
		a := expect(t, h, "200 GET "+metricsPath+"/nodes", "")
		if l := items(a); len(l) != 1 || dig(l[0].(map[string]any), "usage.cpu") != "500000000n" && dig(l[0].(map[string]any), "usage.cpu") != "500m" || dig(l[0].(map[string]any), "usage.memory") != "2Mi" || dig(l[0].(map[string]any), "window") != "1s" {
			t.Errorf("%s", a.body)
		}
		before := asked.Load()
		a = expect(t, h, "200 GET "+metricsPath+"/namespaces/default/pods", "")
		if l := items(a); len(l) != 1 || !strings.Contains(string(a.body), `"usage":{"cpu":"250`) || dig(l[0].(map[string]any), "metadata.labels.a") != "b" {
			t.Errorf("%s", a.body)
		}
		expect(t, h, "200 GET "+metricsPath+"/namespaces/default/pods/p", "")
		if n := asked.Load() - before; n > 2 { // those of the node that does not answer
			t.Errorf("asked %d times for figures that are fresh", n)
		}
		for path, want := range map[string]int{
			"/pods": 1, "/pods?labelSelector=a%3Db": 1, "/pods?labelSelector=a%3Dc": 0, "/pods?fieldSelector=metadata.name%3Dp": 1, "/namespaces/other/pods": 0,
			"/namespaces/default/pods?fieldSelector=metadata.name%3Dx": 0, "/nodes?labelSelector=which%3Dn": 1, "/nodes?labelSelector=which%3Ddead": 0,
		} {
			if l := items(expect(t, h, "200 GET "+metricsPath+path, "")); len(l) != want {
				t.Errorf("%s: %d, want %d", path, len(l), want)
			}
		}
		table := expect(t, h, "200 GET "+metricsPath+"/nodes/n", "", asTable)
		if cells := fmt.Sprint(dig(table.object(t), "rows").([]any)[0].(map[string]any)["cells"]); !strings.Contains(cells, "500m 2Mi") {
			t.Error(cells)
		}
		for _, line := range []string{
			"404 GET " + metricsPath + "/nodes/dead", "404 GET " + metricsPath + "/namespaces/default/pods/none", "405 POST " + metricsPath + "/nodes",
			"405 DELETE " + metricsPath + "/nodes/n", "400 GET " + metricsPath + "/nodes?fieldSelector=spec.x%3Dy", "200 GET " + metricsPath, "200 GET /openapi/v3/apis/metrics.k8s.io/v1beta1",
		} {
			expect(t, h, line, "")
		}
		expect(t, h, "200 GET "+metricsPath+"/nodes", "", "Accept: application/vnd.kubernetes.protobuf")
		expect(t, h, "403 GET "+metricsPath+"/nodes", "", "X-User: ann")

		h.Catalog().Delegate([]*catalog.Delegate{{
			GV: schema.GroupVersion{Group: "metrics.k8s.io", Version: "v1beta1"}, Backend: teapot{}, Discovery: apidiscoveryv2.APIVersionDiscovery{Version: "v1beta1"},
		}})
		expect(t, h, "418 GET "+metricsPath+"/nodes", "") // somebody else has brought a metrics server
	})
}

type teapot struct{}

func (teapot) Serve(w http.ResponseWriter, _ *http.Request, _ api.User) error {
	w.WriteHeader(http.StatusTeapot)
	return nil
}
