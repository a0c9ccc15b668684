package static

import (
	"crypto/sha256"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics tell of the reading of manifests, under upstream's names. A nil value tells nothing.
type Metrics struct {
	server      string // the hash of the server's identity
	reloads     *prometheus.CounterVec
	last, state *prometheus.GaugeVec
}

// NewMetrics makes them for a server of an identity ("apiserver-…") and registers them.
func NewMetrics(identity string, register func(...prometheus.Collector)) *Metrics {
	const prefix = "apiserver_manifest_admission_config_controller_"
	labels := []string{"status", "plugin", "apiserver_id_hash"}
	m := &Metrics{
		server: fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(identity))),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: prefix + "automatic_reloads_total",
			Help: "Total number of automatic reloads of admission manifest configuration split by status, plugin, and apiserver identity.",
		}, labels),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "automatic_reload_last_timestamp_seconds",
			Help: "Timestamp of the last automatic reload of admission manifest configuration split by status, plugin, and apiserver identity.",
		}, labels),
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: prefix + "last_config_info",
			Help: "Information about the last applied admission manifest configuration with hash as label, split by plugin and apiserver identity.",
		}, []string{"plugin", "apiserver_id_hash", "hash"}),
	}
	register(m.reloads, m.last, m.state)
	return m
}

func (m *Metrics) loaded(plugin, hash string) {
	if m == nil {
		return
	}
	m.count("success", plugin)
	m.state.DeletePartialMatch(prometheus.Labels{"plugin": plugin})
	m.state.WithLabelValues(plugin, m.server, hash).Set(1)
}

func (m *Metrics) failed(plugin string) {
	if m != nil {
		m.count("failure", plugin)
	}
}

func (m *Metrics) count(status, plugin string) {
	m.reloads.WithLabelValues(status, plugin, m.server).Inc()
	m.last.WithLabelValues(status, plugin, m.server).SetToCurrentTime()
}
