package apiserver

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api/all"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store/memory"
)

// servedBy lists the resources that are served with a --runtime-config, among those that are asked about.
func servedBy(t *testing.T, given string) (string, error) {
	t.Helper()
	kinds, err := (&Config{RuntimeConfig: given}).Served()
	if err != nil {
		return "", err
	}
	var out []string
	for _, k := range kinds.All() {
		switch k.Resource {
		case "pods", "jobs", "cronjobs", "deployments", "leases":
			out = append(out, k.Resource)
		}
	}
	return strings.Join(out, " "), nil
}

func TestServed(t *testing.T) {
	for given, want := range map[string]string{
		"":                                          "pods deployments cronjobs jobs leases",
		"batch/v1=false":                            "pods deployments leases",
		"batch/v1/jobs=false":                       "pods deployments cronjobs leases",
		"batch/v1=false,batch/v1/jobs":              "pods deployments jobs leases",
		"api/all=false,apps/v1=true":                "pods deployments leases",
		"api/ga=false,api/beta=true":                "pods leases",
		"api/beta=false":                            "pods deployments cronjobs jobs leases",
		"nobody.example.com/v1=false":               "pods deployments cronjobs jobs leases",
		"coordination.k8s.io/v1=false":              "--runtime-config: coordination.k8s.io/v1/leases cannot be switched off: the API server itself uses it",
		"autoscaling/v2=false":                      "--runtime-config: autoscaling/v1/horizontalpodautoscalers cannot be served without autoscaling/v2/horizontalpodautoscalers, as which its objects are stored",
		"batch/v1=maybe":                            "invalid value batch/v1=maybe",
		"batch/v1/Jobs=false":                       `invalid key batch/v1/Jobs: group/version/resource and resource is always lowercase plural, not "Jobs"`,
		"autoscaling/v2=false,autoscaling/v1=false": "pods deployments cronjobs jobs leases",
	} {
		got, err := servedBy(t, given)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", given, got, want)
		}
	}
}

// What is asked for and not built is told; what upstream does not know either is refused in its words.
func TestUnserved(t *testing.T) {
	for given, want := range map[string]string{
		"":                                      "",
		"api/all=true":                          strings.Join(slices.Sorted(slices.Values(unbuilt)), " "),
		"api/beta=true,api/alpha=false":         "admissionregistration.k8s.io/v1beta1",
		"resource.k8s.io/v1beta2=true":          "resource.k8s.io/v1beta2",
		"resource.k8s.io/v1beta2=false,v1=true": "",
		"resource.k8s.io/v1beta1/resourceclaims=true,batch/v1=true,batch/v1/jobs=true": "resource.k8s.io/v1beta1",
		"batch/v9=true":  "group version batch/v9 that has not been registered",
		"batch/v9=false": "group version batch/v9 that has not been registered",
	} {
		got, err := (&Config{RuntimeConfig: given}).Unserved()
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		if text != want && !(given == "api/beta=true,api/alpha=false" && strings.HasPrefix(text, want) && !strings.Contains(text, "alpha")) {
			t.Errorf("%q: %s, want %s", given, text, want)
		}
	}
	kinds := all.Kinds()
	for _, gv := range unbuilt {
		for _, k := range kinds.All() {
			if k.GVK().GroupVersion().String() == gv {
				t.Errorf("%s is served", gv)
			}
		}
	}
}

// What is served only when --runtime-config asks for it needs its feature, too.
func TestServedOnDemand(t *testing.T) {
	for _, c := range []struct {
		gates, given string
		want         string // what is served of the groups of pods
		missing      string // what is told not to be
	}{
		{"", "", "", ""},
		{"", "scheduling.k8s.io/v1alpha3=true", "", "scheduling.k8s.io/v1alpha3"},
		{"GenericWorkload=true", "", "", ""},
		{"GenericWorkload=true", "scheduling.k8s.io/v1alpha3=true", "podgroups workloads", ""},
		{"AllBeta=true", "scheduling.k8s.io/v1alpha3", "podgroups workloads", ""},
		{"AllBeta=true,GenericWorkload=false", "scheduling.k8s.io/v1alpha3", "", "scheduling.k8s.io/v1alpha3"},
		{"GenericWorkload=true", "api/alpha=true,scheduling.k8s.io/v1alpha3/workloads=false", "podgroups", "admissionregistration.k8s.io/v1alpha1"},
	} {
		cfg := &Config{RuntimeConfig: c.given}
		if err := cfg.Gates.Set(c.gates); err != nil {
			t.Fatal(err)
		}
		kinds, err := cfg.Served()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range kinds.All() {
			if k.Resource == "podgroups" || k.Resource == "workloads" {
				got = append(got, k.Resource)
			}
		}
		missing, err := cfg.Unserved()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, " ") != c.want || c.missing == "" && len(missing) > 0 || c.missing != "" && missing[0] != c.missing {
			t.Errorf("%s %s: %q are served, %q told", c.gates, c.given, got, missing)
		}
	}
}

// A hub starts without any version that may be switched off, and without all of them.
func TestHubStartsWithoutWhatIsSwitchedOff(t *testing.T) {
	given := map[string]bool{"api/all=false": true, "autoscaling/v2=false,autoscaling/v1=false": true}
	for _, k := range all.Kinds().All() {
		given[k.GVK().GroupVersion().String()+"=false"] = true
	}
	started := 0
	for name := range given {
		kinds, err := (&Config{RuntimeConfig: name}).Served()
		if err != nil {
			continue
		}
		started++
		synctest.Test(t, func(t *testing.T) {
			h, err := hub.New(hub.Config{
				Kinds: kinds, Store: memory.New(), Log: slog.New(slog.DiscardHandler), Bootstrap: true, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"),
				Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
			})
			if err != nil {
				t.Fatal(name, err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- h.Run(ctx) }()
			select {
			case <-h.Ready():
				cancel()
				<-done
			case err := <-done:
				t.Error(name, err)
			case <-time.After(time.Minute):
				t.Error(name, h.Unready(ctx))
				cancel()
				<-done
			}
			cancel()
		})
	}
	if started < 15 {
		t.Errorf("only %d were tried", started)
	}
}
