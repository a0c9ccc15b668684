package control

import (
	"strings"

	"sampan.dev/internal/control/loop"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of the queues of controllers, with client-go's names.
var (
	descAdds       = queueDesc("adds_total", "Total number of adds handled by workqueue")
	descRetries    = queueDesc("retries_total", "Total number of retries handled by workqueue")
	descDepth      = queueDesc("depth", "Current depth of workqueue")
	descUnfinished = queueDesc("unfinished_work_seconds", "How many seconds of work has done that is in progress and hasn't been observed by work_duration. Large values indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this increases.")
	descLongest    = queueDesc("longest_running_processor_seconds", "How many seconds has the longest running processor for workqueue been running.")
	descWaited     = queueDesc("queue_duration_seconds", "How long in seconds an item stays in workqueue before being requested.")
	descWorked     = queueDesc("work_duration_seconds", "How long in seconds processing an item from workqueue takes.")
)

func queueDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("workqueue_"+name, help, []string{"name"}, nil)
}

// Describe implements prometheus.Collector: what there is depends on the controllers that run.
func (m *Manager) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector, from what the running controllers have counted.
func (m *Manager) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	running := make(map[string]loop.Runner, len(m.mu.running))
	for name, r := range m.mu.running {
		running[name] = r
	}
	m.mu.Unlock()
	for _, d := range m.list() {
		r, ok := running[d.name]
		if !ok {
			continue
		}
		collectQueue(ch, queueName(d), loop.FiguresOf(r))
		if c, ok := r.(prometheus.Collector); ok {
			c.Collect(ch)
		}
	}
}

// queueNames are what upstream's metrics call the queues of controllers where it is not what --controllers calls them. Of a controller
// that has several queues there, ours are told under the first one's name.
var queueNames = map[string]string{
	"endpointslice": "endpoint_slice", "endpointslicemirroring": "endpoint_slice_mirroring", "garbagecollector": "garbage_collector_attempt_to_delete",
	"nodelifecycle": "node_lifecycle_controller", "horizontalpodautoscaling": "horizontalpodautoscaler", "podgc": "orphaned_pods_nodes",
	"resource-claim-controller": "resource_claim", "resourcequota": "resourcequota_primary", "serviceaccount-token": "serviceaccount_tokens_service",
	"ttl": "ttlcontroller", "ttl-after-finished": "ttl_jobs_to_delete", "attachdetach": "pvcs", "ephemeral-volume": "ephemeral_volume",
	"persistentvolume-expander": "volume_expand", "persistentvolume-binder": "claims", "pvc-protection": "pvcprotection", "pv-protection": "pvprotection",
	"root-ca-cert-publisher": "root_ca_cert_publisher", "clusterrole-aggregation": "ClusterRoleAggregator", "bootstrapsigner": "bootstrap_signer_queue",
	"tokencleaner": "token_cleaner", "taint-eviction": "noexec_taint_node", "service-cidr": "ipaddresses", "volumeattributesclass-protection": "vacprotection",
	"kube-apiserver-serving-clustertrustbundle-publisher": "ca_cert_publisher_cluster_trust_bundles",
}

// queueName is what upstream's metrics call a controller's queue.
func queueName(d descriptor) string {
	name := d.alias
	if name == "" {
		name = strings.TrimSuffix(d.name, "-controller")
	}
	if other, ok := queueNames[name]; ok {
		return other
	}
	return name
}

func collectQueue(ch chan<- prometheus.Metric, name string, f loop.Figures) {
	value := func(d *prometheus.Desc, kind prometheus.ValueType, v float64) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, name)
	}
	value(descAdds, prometheus.CounterValue, float64(f.Adds))
	value(descRetries, prometheus.CounterValue, float64(f.Retries))
	value(descDepth, prometheus.GaugeValue, float64(f.Depth))
	value(descUnfinished, prometheus.GaugeValue, f.Unfinished.Seconds())
	value(descLongest, prometheus.GaugeValue, f.Longest.Seconds())
	spread := func(d *prometheus.Desc, s *loop.Spread) {
		upTo, n, sum := s.Buckets()
		ch <- prometheus.MustNewConstHistogram(d, n, sum, upTo, name)
	}
	spread(descWaited, &f.Waited)
	spread(descWorked, &f.Worked)
}
