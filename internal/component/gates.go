package component

import (
	_ "embed"
	"fmt"
	"io"
	"strconv"
	"strings"

	"sampan.dev/internal/component/flag"

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

// Gates are what --feature-gates says of the features that are built and off by default. What it says of all others has no effect.
type Gates struct {
	GenericWorkload bool // pods have scheduling groups, which are placed together

	given []string
	said  map[string]bool
}

// Row is the flag.
func (g *Gates) Row() *flag.Row {
	return flag.Set("feature-gates", g, "features are those of a v1.37.1 with its defaults, as far as they are built; GenericWorkload=true has the pods of a PodGroup placed together")
}

// String implements pflag.Value.
func (g *Gates) String() string { return strings.Join(g.given, ",") }

// Type implements pflag.Value.
func (g *Gates) Type() string { return "mapStringBool" }

// Set implements pflag.Value. The flag may be given more than once.
func (g *Gates) Set(s string) error {
	if err := knownGates(s); err != nil {
		return err
	}
	if g.said == nil {
		g.said = map[string]bool{}
	}
	for pair := range strings.SplitSeq(s, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if name == "" {
			continue
		}
		g.said[strings.TrimPrefix(name, "kube:")], _ = strconv.ParseBool(value) // knownGates has read it
		g.given = append(g.given, name+"="+value)
	}
	on, named := g.said["GenericWorkload"]
	g.GenericWorkload = on || !named && g.said["AllBeta"]
	return nil
}

// on reports whether a feature that is off by default is on.
func (g *Gates) on(name string) bool {
	return g != nil && g.GenericWorkload && name == "GenericWorkload"
}

const featureHelp = "This metric records the data about the stage and enablement of a k8s feature."

var featureDesc = prometheus.NewDesc("kubernetes_feature_enabled", featureHelp, []string{"name", "stage"}, nil)

// Features tells of all feature gates, as upstream has them by default but for what Gates says; nil: nothing. It holds nothing until
// somebody asks.
type Features struct{ *Gates }

// Describe implements prometheus.Collector.
func (Features) Describe(ch chan<- *prometheus.Desc) { ch <- featureDesc }

// Collect implements prometheus.Collector.
func (f Features) Collect(ch chan<- prometheus.Metric) {
	f.each(func(name, stage string, on int) {
		ch <- prometheus.MustNewConstMetric(featureDesc, prometheus.GaugeValue, float64(on), name, stage)
	})
}

// Write writes the same as text.
func (f Features) Write(w io.Writer) {
	fmt.Fprintf(w, "# HELP kubernetes_feature_enabled [BETA] %s\n# TYPE kubernetes_feature_enabled gauge\n", featureHelp)
	f.each(func(name, stage string, on int) {
		fmt.Fprintf(w, "kubernetes_feature_enabled{name=%q,stage=%q} %d\n", name, stage, on)
	})
}

func (f Features) each(fn func(name, stage string, on int)) {
	for line := range strings.Lines(gates) {
		words := strings.Fields(line)
		stage, on := words[1], 0
		if stage == "GA" {
			stage = "" // upstream's name of it
		}
		if words[2] == "on" || f.on(words[0]) {
			on = 1
		}
		fn(words[0], stage, on)
	}
}
