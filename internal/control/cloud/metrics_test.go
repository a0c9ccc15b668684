package cloud

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/cloud"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// shows fails the test unless each line is among those that a reader of the collectors gets.
func shows(t *testing.T, lines []string, of ...prometheus.Collector) {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(of...)
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range lines {
		if !strings.Contains(w.Body.String(), want+"\n") {
			t.Errorf("lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(w.Body)
	}
}

func TestBalancerMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newBalancerMetrics()
		began := time.Now()
		m.nodesChanged(nil)
		m.looked("a") // which is of no round
		m.nodesChanged([]string{"a", "b"})
		time.Sleep(2 * time.Second)
		m.looked("a")
		m.looked("c")
		m.point(began, nil)
		m.nodesChanged([]string{"a"}) // becomes part of the round at hand
		time.Sleep(3 * time.Second)
		m.looked("b")
		m.looked("a")
		m.looked("a")
		m.point(began, errors.New("x"))
		shows(t, []string{
			"# TYPE service_controller_nodesync_latency_seconds histogram",
			"service_controller_loadbalancer_sync_total 2",
			"service_controller_nodesync_error_total 1",
			"service_controller_nodesync_latency_seconds_sum 5",
			"service_controller_nodesync_latency_seconds_count 1",
			`service_controller_nodesync_latency_seconds_bucket{le="16384"} 1`,
			"service_controller_update_loadbalancer_host_latency_seconds_sum 7",
		}, m)
	})
}

func TestMetricsOfMachinesAndRoutes(t *testing.T) {
	n, l, r := newNodeMetrics(), newLifecycleMetrics(), newRouteMetrics()
	n.untainted.Observe(5)
	n.initialized.Observe(10)
	l.looks.Observe(0.0005)
	for _, err := range []error{nil, cloud.ErrInstanceNotFound, fmt.Errorf("y: %w", cloud.ErrNotImplemented), context.Canceled, errors.New("x")} {
		l.called("instance_exists", err)
	}
	l.called("instance_shutdown", nil)
	r.looked(false, false, nil)
	r.looked(true, true, nil)
	r.looked(true, true, errors.New("x"))
	lines := []string{
		`node_controller_cloud_provider_taint_removal_delay_seconds_bucket{le="1024"} 1`,
		"node_controller_cloud_provider_taint_removal_delay_seconds_sum 5",
		"node_controller_initial_node_sync_delay_seconds_sum 10",
		`cloud_node_lifecycle_controller_monitor_nodes_duration_seconds_bucket{le="0.001"} 1`,
		`cloud_node_lifecycle_controller_cloud_provider_calls_total{operation="instance_shutdown",result="success"} 1`,
		`route_controller_route_sync_total{outcome="noop",trigger="periodic"} 1`,
		`route_controller_route_sync_total{outcome="changed",trigger="node_change"} 1`,
		`route_controller_route_sync_total{outcome="error",trigger="node_change"} 1`,
	}
	for _, result := range []string{"success", "instance_not_found", "not_implemented", "canceled", "error"} {
		lines = append(lines, fmt.Sprintf("cloud_node_lifecycle_controller_cloud_provider_calls_total{operation=%q,result=%q} 1", "instance_exists", result))
	}
	shows(t, lines, n, l, r)
}
