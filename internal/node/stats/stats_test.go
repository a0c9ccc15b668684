package stats

import (
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/node/cgroup"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsv1 "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

func TestRates(t *testing.T) {
	r := NewRates()
	at := time.Unix(100, 0)
	if got := r.Rate("a", at, time.Second); got != nil {
		t.Errorf("a rate from one reading: %d", *got)
	}
	if got := r.Rate("a", at.Add(2*time.Second), 2*time.Second); got == nil || *got != 5e8 {
		t.Errorf("%v", got)
	}
	if got := r.Rate("a", at.Add(2*time.Second+time.Millisecond), 3*time.Second); got == nil || *got != 5e8 {
		t.Errorf("readings too close: %v", got)
	}
	if got := r.Rate("a", at.Add(3*time.Second), time.Second); got != nil {
		t.Errorf("a group made anew: %d", *got)
	}
	r.Rate("b", at, time.Second)
	r.Keep(func(key string) bool { return key == "a" })
	if got := r.Rate("b", at.Add(time.Minute), time.Minute); got != nil {
		t.Errorf("what was forgotten has a rate: %d", *got)
	}
	if got := r.Rate("a", at.Add(time.Minute), 2*time.Second); got == nil {
		t.Error("what was kept has no rate")
	}
}

func TestResourceText(t *testing.T) {
	at := time.UnixMilli(1500)
	u := cgroup.Usage{At: at, CPU: 2500 * time.Millisecond, WorkingSet: 1024}
	s := &statsv1.Summary{Pods: []statsv1.PodStats{{PodRef: statsv1.PodReference{Namespace: "ns", Name: "p"}, CPU: CPU(u, nil), Memory: Memory(u, 0),
		Containers: []statsv1.ContainerStats{{Name: "c", StartTime: metav1.NewTime(at), CPU: CPU(u, nil), Memory: Memory(u, 0)}}}}}
	var b strings.Builder
	Resource(&b, s)
	for _, line := range []string{
		`container_cpu_usage_seconds_total{container="c",namespace="ns",pod="p"} 2.5 1500`, `container_start_time_seconds{container="c",namespace="ns",pod="p"} 1.5`,
		`pod_memory_working_set_bytes{namespace="ns",pod="p"} 1024 1500`, "# TYPE pod_cpu_usage_seconds_total counter", "resource_scrape_error 0",
	} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("no line %s in\n%s", line, b.String())
		}
	}
}

// TestPressureMetrics shows waits only where the kernel measures them.
func TestPressureMetrics(t *testing.T) {
	wait := &statsv1.PSIStats{Some: statsv1.PSIData{Total: 1500000000}, Full: statsv1.PSIData{Total: 500000000}}
	summary := &statsv1.Summary{Pods: []statsv1.PodStats{{
		PodRef: statsv1.PodReference{Namespace: "n", Name: "p", UID: "u"}, Memory: &statsv1.MemoryStats{PSI: wait},
		Containers: []statsv1.ContainerStats{{Name: "c", CPU: &statsv1.CPUStats{PSI: wait}, IO: &statsv1.IOStats{}}},
	}}}
	var b strings.Builder
	CAdvisor(&b, summary)
	for want, there := range map[string]bool{
		`container_pressure_cpu_waiting_seconds_total{container="c",namespace="n",pod="p"} 1.5`:                                        true,
		`container_pressure_cpu_stalled_seconds_total{container="c",namespace="n",pod="p"} 0.5`:                                        true,
		`container_pressure_memory_waiting_seconds_total{container="",id="/kubepods/podu",image="",name="",namespace="n",pod="p"} 1.5`: true,
		"container_pressure_io_waiting_seconds_total{":                                                                                 false,
	} {
		if strings.Contains(b.String(), want) != there {
			t.Errorf("%s there: %t, want %t in\n%s", want, !there, there, b.String())
		}
	}
}
