package control_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"
	"sampan.dev/internal/hub/catalog"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// gauges answer for the metrics' API groups: each pod uses a number of thousandths of a core, a queue has a length, a pod serves a
// number of requests.
type gauges struct {
	b               *bench
	cpu, queue, rps atomic.Int64
}

func (g *gauges) Serve(w http.ResponseWriter, r *http.Request, _ api.User) error {
	w.Header().Set("Content-Type", "application/json")
	now := time.Now().UTC().Format(time.RFC3339)
	var items []string
	kind := "MetricValueList"
	switch {
	case strings.HasPrefix(r.URL.Path, "/apis/metrics.k8s.io/"):
		kind = "PodMetricsList"
		selector, err := labels.Parse(r.URL.Query().Get("labelSelector"))
		if err != nil {
			return err
		}
		for _, p := range g.b.podsOf("default", func(p *corev1.Pod) bool { return running(p) && selector.Matches(labels.Set(p.Labels)) }) {
			items = append(items, fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"default"},"timestamp":%q,"window":"15s","containers":[{"name":"c","usage":{"cpu":"%dm"}}]}`, p.Name, now, g.cpu.Load()))
		}
	case strings.HasPrefix(r.URL.Path, "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/queue"):
		items = append(items, fmt.Sprintf(`{"metricName":"queue","timestamp":%q,"value":"%d"}`, now, g.queue.Load()))
	case r.URL.Path == "/apis/custom.metrics.k8s.io/v1beta2/namespaces/default/pods/*/rps" && r.URL.Query().Get("labelSelector") == "app=web":
		for _, p := range g.b.podsOf("default", running) {
			items = append(items, fmt.Sprintf(`{"describedObject":{"kind":"Pod","name":%q},"timestamp":%q,"value":"%d"}`, p.Name, now, g.rps.Load()))
		}
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		return nil
	}
	fmt.Fprintf(w, `{"kind":%q,"apiVersion":%q,"metadata":{},"items":[%s]}`, kind, strings.Join(strings.Split(r.URL.Path, "/")[2:4], "/"), strings.Join(items, ","))
	return nil
}

// answer has the gauges answer for all groups of metrics.
func (g *gauges) answer() {
	var all []*catalog.Delegate
	for _, gv := range []schema.GroupVersion{{Group: "metrics.k8s.io", Version: "v1beta1"}, {Group: "external.metrics.k8s.io", Version: "v1beta1"}, {Group: "custom.metrics.k8s.io", Version: "v1beta2"}} {
		all = append(all, &catalog.Delegate{GV: gv, Backend: g, Discovery: apidiscoveryv2.APIVersionDiscovery{Version: gv.Version, Freshness: apidiscoveryv2.DiscoveryFreshnessCurrent}})
	}
	g.b.hub.Catalog().Delegate(all)
}

func hpaOn(name string, least, most int32, metrics ...autoscalingv2.MetricSpec) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "hpa-" + name}, Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}, MinReplicas: &least, MaxReplicas: most, Metrics: metrics,
	}}
}

func cpuAt(percent int32) autoscalingv2.MetricSpec {
	return autoscalingv2.MetricSpec{Type: autoscalingv2.ResourceMetricSourceType, Resource: &autoscalingv2.ResourceMetricSource{Name: corev1.ResourceCPU,
		Target: autoscalingv2.MetricTarget{Type: autoscalingv2.UtilizationMetricType, AverageUtilization: &percent}}}
}

func averageOf(n string) autoscalingv2.MetricTarget {
	q := resource.MustParse(n)
	return autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: &q}
}

func (b *bench) hpa(name string) *autoscalingv2.HorizontalPodAutoscaler {
	b.Helper()
	h, err := client.Get[*autoscalingv2.HorizontalPodAutoscaler](b.Context(), b.door, client.HorizontalPodAutoscalers, "default", "hpa-"+name)
	if err != nil {
		b.Fatal(err)
	}
	return h
}

func (b *bench) scaled(name string, h *autoscalingv2.HorizontalPodAutoscaler) {
	b.Helper()
	d := deployment("default", name, 2)
	d.Spec.Template.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
	if _, err := client.Create(b.Context(), b.door, client.Deployments, d); err != nil {
		b.Fatal(err)
	}
	if _, err := client.Create(b.Context(), b.door, client.HorizontalPodAutoscalers, h); err != nil {
		b.Fatal(err)
	}
}

// TestAutoscaling scales by each source of metrics, up at once and down when five minutes have said so.
func TestAutoscaling(t *testing.T) {
	for name, c := range map[string]struct {
		metric   autoscalingv2.MetricSpec
		load     func(g *gauges, n int64) // so that n replicas are right
		least    int32
		metricIs string
	}{
		"cpu": {cpuAt(50), func(g *gauges, n int64) { g.cpu.Store(50 * n / max(1, int64(len(g.b.podsOf("default", running))))) }, 1, "cpu resource utilization (percentage of request)"},
		"external": {autoscalingv2.MetricSpec{Type: autoscalingv2.ExternalMetricSourceType, External: &autoscalingv2.ExternalMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "queue"}, Target: averageOf("10")}}, func(g *gauges, n int64) { g.queue.Store(10 * n) }, 0, "external metric queue(nil)"},
		"pods": {autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{
			Metric: autoscalingv2.MetricIdentifier{Name: "rps"}, Target: averageOf("10")}}, func(g *gauges, n int64) { g.rps.Store(10 * n / max(1, int64(len(g.b.podsOf("default", running))))) }, 1, "pods metric rps"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				b.addNode("n0", nil)
				b.settle(time.Second)
				g := &gauges{b: b}
				g.answer()
				c.load(g, 2)
				g.cpu.Store(50)
				g.rps.Store(10)
				b.scaled("web", hpaOn("web", c.least, 6, c.metric))
				b.settle(10 * time.Minute) // past what pods need to start
				h := b.hpa("web")
				if s := h.Status; s.CurrentReplicas != 2 || s.DesiredReplicas != 2 || len(s.CurrentMetrics) != 1 || *s.ObservedGeneration != h.Generation {
					t.Fatalf("at rest: %+v", s)
				}
				c.load(g, 4)
				b.settle(20 * time.Second)
				if n := *b.deployed("default", "web").Spec.Replicas; n != 4 {
					t.Fatalf("%d replicas, want 4: %+v", n, b.hpa("web").Status)
				}
				b.hasEvent("default", "horizontal-pod-autoscaler Normal SuccessfulRescale: New size: 4; reason: "+c.metricIs+" above target")
				g.cpu.Store(50)
				g.rps.Store(10)
				b.settle(10 * time.Minute)
				c.load(g, 1)
				b.settle(3 * time.Minute)
				if n := *b.deployed("default", "web").Spec.Replicas; n != 4 {
					t.Errorf("%d replicas before the window has passed", n)
				}
				b.settle(3 * time.Minute)
				if n := *b.deployed("default", "web").Spec.Replicas; n != 1 {
					t.Errorf("%d replicas after it: %+v", n, b.hpa("web").Status)
				}
				b.hasEvent("default", "SuccessfulRescale: New size: 1; reason: All metrics below target")
				if c.least > 0 {
					return
				}
				c.load(g, 0)
				b.settle(6 * time.Minute)
				if n := *b.deployed("default", "web").Spec.Replicas; n != 0 {
					t.Errorf("%d replicas, want none: %+v", n, b.hpa("web").Status)
				}
				c.load(g, 3)
				b.settle(20 * time.Second)
				if n := *b.deployed("default", "web").Spec.Replicas; n != 3 {
					t.Errorf("%d replicas after none, want 3: %+v", n, b.hpa("web").Status)
				}
			})
		})
	}
}

// TestAutoscalingFails tells what is missing.
func TestAutoscalingFails(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		none := hpaOn("none", 1, 3, cpuAt(50))
		if _, err := client.Create(b.Context(), b.door, client.HorizontalPodAutoscalers, none); err != nil {
			b.Fatal(err)
		}
		strange := hpaOn("strange", 1, 3, cpuAt(50))
		strange.Spec.ScaleTargetRef.Kind, strange.Spec.ScaleTargetRef.APIVersion = "Boat", "sea.example.com/v1"
		if _, err := client.Create(b.Context(), b.door, client.HorizontalPodAutoscalers, strange); err != nil {
			b.Fatal(err)
		}
		b.addNode("n0", nil)
		b.scaled("web", hpaOn("web", 1, 3, autoscalingv2.MetricSpec{Type: autoscalingv2.PodsMetricSourceType, Pods: &autoscalingv2.PodsMetricSource{Metric: autoscalingv2.MetricIdentifier{Name: "rps"}, Target: averageOf("10")}}))
		b.settle(time.Minute)
		b.hasEvent("default", `horizontal-pod-autoscaler Warning FailedGetScale: deployments.apps "none" not found`)
		b.hasEvent("default", `Warning FailedGetScale: no matches for kind "Boat" in group "sea.example.com"`)
		b.hasEvent("default", "Warning FailedGetPodsMetric: unable to get metric rps: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered")
		b.hasEvent("default", "Warning FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get pods metric value: unable to get metric rps")
		for _, c := range b.hpa("web").Status.Conditions {
			if c.Type == autoscalingv2.ScalingActive && (c.Status != corev1.ConditionFalse || c.Reason != "FailedGetPodsMetric") {
				t.Errorf("%+v", c)
			}
		}
	})
}

// TestIdleAutoscalers: autoscalers that have nothing to do write nothing.
func TestIdleAutoscalers(t *testing.T) {
	d := &doom{account: "horizontal-pod-autoscaler", at: -1}
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		g := &gauges{b: b}
		g.answer()
		g.cpu.Store(50)
		for i := range 200 {
			b.scaled(fmt.Sprint("d", i), hpaOn(fmt.Sprint("d", i), 1, 3, cpuAt(50)))
		}
		b.settle(10 * time.Minute)
		d.mu.Lock()
		d.writes = nil
		d.mu.Unlock()
		b.settle(3 * time.Minute)
		if w := d.counts(); len(w) > 0 {
			t.Errorf("%v", w)
		}
		if s := b.hpa("d7").Status; s.DesiredReplicas != 2 {
			t.Errorf("%+v", s)
		}
	}, d.doors)
}
