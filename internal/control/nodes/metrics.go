package nodes

import (
	"github.com/prometheus/client_golang/prometheus"
)

// zoneMetrics are upstream's metrics of zones, pkg/controller/nodelifecycle. They are counted when somebody asks.
type zoneMetrics lifecycle

var (
	descSize      = zoneDesc("zone_size", "Gauge measuring number of registered Nodes per zones.")
	descHealth    = zoneDesc("zone_health", "Gauge measuring percentage of healthy nodes per zone.")
	descUnhealthy = zoneDesc("unhealthy_nodes_in_zone", "Gauge measuring number of not Ready Nodes per zones.")
	descEvictions = zoneDesc("evictions_total", "Number of Node evictions that happened since current instance of NodeController started.")
)

func zoneDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("node_collector_"+name, help, []string{"zone"}, nil)
}

// Describe implements prometheus.Collector.
func (z *zoneMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSize, descHealth, descUnhealthy, descEvictions} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (z *zoneMetrics) Collect(ch chan<- prometheus.Metric) {
	sizes, down := countZones(z.nodes.List(""))
	for zone, n := range sizes {
		bad := down[zone]
		ch <- prometheus.MustNewConstMetric(descSize, prometheus.GaugeValue, float64(n), zone)
		ch <- prometheus.MustNewConstMetric(descUnhealthy, prometheus.GaugeValue, float64(bad), zone)
		ch <- prometheus.MustNewConstMetric(descHealth, prometheus.GaugeValue, 100*float64(n-bad)/float64(n), zone)
	}
	z.mu.Lock()
	defer z.mu.Unlock()
	for zone, n := range z.mu.evicted {
		ch <- prometheus.MustNewConstMetric(descEvictions, prometheus.CounterValue, float64(n), zone)
	}
}
