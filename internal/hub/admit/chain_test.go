package admit

import (
	"slices"
	"testing"

	"sampan.dev/internal/api/unbuilt"
)

// Every plugin that upstream's API server has on by default is in the chain or stands on the list of what is not built; none
// is in both.
func TestDefaultPlugins(t *testing.T) {
	upstream := []string{ // pkg/kubeapiserver/options/plugins.go, v1.37
		"NamespaceLifecycle", "LimitRanger", "ServiceAccount", "TaintNodesByCondition", "PodSecurity", "Priority", "DefaultTolerationSeconds",
		"DefaultStorageClass", "StorageObjectInUseProtection", "PodGroupProtection", "PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval", "CertificateSigning",
		"ClusterTrustBundleAttest", "CertificateSubjectRestriction", "DefaultIngressClass", "PodTopologyLabels", "NodeDeclaredFeatureValidator", "PodResizeValidator",
		"MutatingAdmissionPolicy", "MutatingAdmissionWebhook", "ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ResourceQuota",
	}
	var have []string
	for _, p := range New(Config{}).plugins {
		have = append(have, p.Name())
	}
	for _, name := range upstream {
		built, listed := slices.Contains(have, name), slices.Contains(unbuilt.AdmissionPlugins, name)
		if built == listed {
			t.Errorf("%s: in the chain %v, on the list of what is not built %v", name, built, listed)
		}
	}
	for _, name := range unbuilt.AdmissionPlugins {
		if !slices.Contains(upstream, name) {
			t.Errorf("%s is no default plugin of upstream's", name)
		}
	}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		enable, disable []string
		want            string // the error, or the difference to the default chain
	}{
		{nil, nil, ""},
		{[]string{"NodeRestriction", "DenyServiceExternalIPs"}, nil, "+DenyServiceExternalIPs"},
		{nil, []string{"Priority", "AlwaysPullImages"}, "-Priority"},
		{[]string{"ImagePolicyWebhook", "NamespaceAutoProvision"}, nil, "+NamespaceAutoProvision+ImagePolicyWebhook"},
		{[]string{"EventRateLimit", "PodTolerationRestriction"}, nil, "+PodTolerationRestriction+EventRateLimit"},
		{[]string{"Nobody"}, nil, `--enable-admission-plugins plugin "Nobody" is unknown`},
		{nil, []string{""}, `--disable-admission-plugins plugin "" is unknown`},
		{[]string{"Priority"}, []string{"Priority"}, `plugin "Priority" is in both --enable-admission-plugins and --disable-admission-plugins`},
	} {
		var cfg Config
		got := ""
		if err := cfg.Select(c.enable, c.disable); err != nil {
			got = err.Error()
		} else {
			is, was := names(New(cfg)), names(New(Config{}))
			for _, n := range is {
				if !slices.Contains(was, n) {
					got += "+" + n
				}
			}
			for _, n := range was {
				if !slices.Contains(is, n) {
					got += "-" + n
				}
			}
		}
		if got != c.want {
			t.Errorf("+%v -%v: %q, want %q", c.enable, c.disable, got, c.want)
		}
	}
}

func names(c Chain) []string {
	var out []string
	for _, p := range c.plugins {
		out = append(out, p.Name())
	}
	return out
}
