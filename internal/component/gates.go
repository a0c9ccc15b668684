package component

import (
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// gates are all feature gates of v1.37.1, a line each: its name, its stage and whether it is on by default.
//
//go:embed gates.txt
var gates string

// knownGates checks what --feature-gates is given, with upstream's errors: NAME=BOOL pairs, the names perhaps after that of a component.
func knownGates(given string) error {
	for pair := range strings.SplitSeq(given, ",") {
		if pair == "" {
			continue
		}
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok {
			return fmt.Errorf("missing bool value for %s", name)
		}
		name = strings.TrimPrefix(name, "kube:")
		if _, err := strconv.ParseBool(value); err != nil {
			return fmt.Errorf("invalid value of %s=%s, err: %w", name, value, err)
		}
		if !strings.Contains("\n"+gates, "\n"+name+" ") {
			return fmt.Errorf("unrecognized feature gate: %s", name)
		}
	}
	return nil
}

const featureHelp = "This metric records the data about the stage and enablement of a k8s feature."

var featureDesc = prometheus.NewDesc("kubernetes_feature_enabled", featureHelp, []string{"name", "stage"}, nil)

// Features tells of all feature gates, as upstream has them by default: --feature-gates changes nothing here. It holds nothing until
// somebody asks.
type Features struct{}

// Describe implements prometheus.Collector.
func (Features) Describe(ch chan<- *prometheus.Desc) { ch <- featureDesc }

// Collect implements prometheus.Collector.
func (Features) Collect(ch chan<- prometheus.Metric) {
	eachFeature(func(name, stage string, on int) {
		ch <- prometheus.MustNewConstMetric(featureDesc, prometheus.GaugeValue, float64(on), name, stage)
	})
}

// WriteFeatures writes the same as text.
func WriteFeatures(w io.Writer) {
	fmt.Fprintf(w, "# HELP kubernetes_feature_enabled [BETA] %s\n# TYPE kubernetes_feature_enabled gauge\n", featureHelp)
	eachFeature(func(name, stage string, on int) {
		fmt.Fprintf(w, "kubernetes_feature_enabled{name=%q,stage=%q} %d\n", name, stage, on)
	})
}

func eachFeature(fn func(name, stage string, on int)) {
	for line := range strings.Lines(gates) {
		f := strings.Fields(line)
		stage, on := f[1], 0
		if stage == "GA" {
			stage = "" // upstream's name of it
		}
		if f[2] == "on" {
			on = 1
		}
		fn(f[0], stage, on)
	}
}
