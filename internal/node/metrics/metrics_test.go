package metrics

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestExposition(t *testing.T) {
	var c Counts
	h := c.Handler(func() []Gauge {
		return []Gauge{{Name: "kubelet_node_name", Level: "ALPHA", Help: "h", Labels: map[string]string{"node": "n1"}, Value: 1}}
	})
	c.Add(StartedPods)
	c.Add(StartedPods)
	c.Add(StartedContainerErrors, "container", "ErrImagePull")
	c.Took(PodStart, 700*time.Millisecond)
	c.Took(PodStart, 2*time.Hour)
	c.Took(SandboxRun, time.Second, "")
	c.Took(CSIOperations, 2*time.Second, "d.example.com", "/csi.v1.Node/NodeGetInfo", "OK", "false")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	got := w.Body.String()
	for _, line := range []string{
		"# HELP kubelet_started_pods_total [ALPHA] Cumulative number of pods started\n# TYPE kubelet_started_pods_total counter\nkubelet_started_pods_total 2\n",
		"kubelet_started_pods_errors_total 0\n",
		"# HELP kubelet_image_volume_requested_total [BETA] ",
		`kubelet_started_containers_errors_total{code="ErrImagePull",container_type="container"} 1` + "\n",
		`kubelet_node_name{node="n1"} 1` + "\n",
		`kubelet_pod_start_duration_seconds_bucket{le="0.5"} 0` + "\n", `kubelet_pod_start_duration_seconds_bucket{le="1"} 1` + "\n",
		`kubelet_pod_start_duration_seconds_bucket{le="3600"} 1` + "\n", `kubelet_pod_start_duration_seconds_bucket{le="+Inf"} 2` + "\n",
		`kubelet_run_podsandbox_duration_seconds_count{runtime_handler=""} 1` + "\n",
		`csi_operations_seconds_bucket{driver_name="d.example.com",grpc_status_code="OK",method_name="/csi.v1.Node/NodeGetInfo",migrated="false",le="2.5"} 1` + "\n",
		"process_start_time_seconds ", "go_goroutines ",
	} {
		if !strings.Contains(got, line) {
			t.Errorf("no %q in\n%s", line, got)
		}
	}
}

// Every family of the list has a name, a level and a text.
func TestFamilies(t *testing.T) {
	for f := range families {
		if d := counted[f]; !strings.HasPrefix(d.name, "kubelet_") && f != CSIOperations || d.help == "" || d.level == "" {
			t.Errorf("family %d: %+v", f, d)
		}
	}
}
