package component

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestFeatureGates(t *testing.T) {
	for given, want := range map[string]string{
		"":                                    "",
		"AllAlpha=false,KMSv1=true":           "",
		"kube:InPlacePodVerticalScaling=true": "",
		"MyFeature=true":                      "unrecognized feature gate: MyFeature",
		"SystemdWatchdog=true":                "",
		"Nosuch=true":                         "unrecognized feature gate: Nosuch",
		"KMSv1":                               "missing bool value for KMSv1",
		"KMSv1=maybe":                         `invalid value of KMSv1=maybe, err: strconv.ParseBool: parsing "maybe": invalid syntax`,
	} {
		err := knownGates(given)
		if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
			t.Errorf("%q: %v", given, err)
		}
	}
}

func TestFeatures(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	given := &Gates{}
	if err := given.Set("kube:GenericWorkload=true,KMSv1=true"); err != nil || !given.GenericWorkload {
		t.Fatal(err)
	}
	reg.MustRegister(Features{given})
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(all[0].Metric); n != strings.Count(gates, "\n") {
		t.Errorf("%d features", n)
	}
	for _, m := range all[0].Metric {
		on, ok := map[string]float64{"AllAlpha ALPHA": 0, "ManifestBasedAdmissionControlConfig BETA": 1, "KMSv1 DEPRECATED": 0, "GenericWorkload BETA": 1, "InOrderInformers ": 1}[m.Label[0].GetValue()+" "+m.Label[1].GetValue()]
		if ok && m.Gauge.GetValue() != on {
			t.Errorf("%v", m)
		}
	}
}
