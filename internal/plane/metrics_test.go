package plane

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// What the scheduler counts is among the API server's metrics while it runs, as a registry wants it, and there is nothing of it before.
func TestTheSchedulerIsAmongTheMetrics(t *testing.T) {
	g, p, _ := controlPlane(t)
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(p.cfg.Scheduler.Collector())
	gather := func() map[string]*dto.MetricFamily {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		by := map[string]*dto.MetricFamily{}
		for _, f := range families {
			by[f.GetName()] = f
		}
		return by
	}
	if n := len(gather()); n != 0 {
		t.Fatalf("%d families before it runs", n)
	}
	if err := p.StartControl(g); err != nil {
		t.Fatal(err)
	}
	by := gather()
	for len(by) == 0 {
		select {
		case <-g.Context().Done():
			t.Fatalf("the group has ended: %v", context.Cause(g.Context()))
		case <-time.After(time.Millisecond):
			by = gather()
		}
	}
	pending := by["scheduler_pending_pods"]
	if pending.GetType() != dto.MetricType_GAUGE || len(pending.GetMetric()) != 4 || !strings.HasPrefix(pending.GetHelp(), "[STABLE] Number of pending pods") {
		t.Errorf("pending pods: %v", pending)
	}
	victims := by["scheduler_preemption_victims"]
	if victims.GetType() != dto.MetricType_HISTOGRAM || len(victims.GetMetric()) != 1 || len(victims.Metric[0].GetHistogram().GetBucket()) != 8 {
		t.Errorf("victims of preemption: %v", victims)
	}
}
