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
		"DefaultStorageClass", "StorageObjectInUseProtection", "PersistentVolumeClaimResize", "RuntimeClass", "CertificateApproval", "CertificateSigning",
		"ClusterTrustBundleAttest", "CertificateSubjectRestriction", "DefaultIngressClass", "PodTopologyLabels", "NodeDeclaredFeatureValidator",
		"MutatingAdmissionPolicy", "MutatingAdmissionWebhook", "ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook", "ResourceQuota",
	}
	var have []string
	for _, p := range New(Config{}) {
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
