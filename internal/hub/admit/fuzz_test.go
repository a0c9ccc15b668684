package admit

import (
	"encoding/pem"
	"testing"
)

func FuzzCertificateRequest(f *testing.F) {
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: []byte("x")}))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := parseRequest(data); err == nil && r == nil {
			t.Error("neither a request nor an error")
		}
	})
}

// The settings of every plugin.
func FuzzSettings(f *testing.F) {
	f.Add("ResourceQuota", []byte("apiVersion: apiserver.config.k8s.io/v1\nkind: ResourceQuotaConfiguration\nlimitedResources: [{resource: pods, matchContains: [cpu]}]\n"))
	f.Add("PodSecurity", []byte("apiVersion: pod-security.admission.config.k8s.io/v1\nkind: PodSecurityConfiguration\ndefaults: {enforce: baseline}\n"))
	f.Add("EventRateLimit", []byte("apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\nlimits: [{type: User, qps: 1, burst: 2}]\n"))
	f.Add("ValidatingAdmissionPolicy", []byte("apiVersion: apiserver.config.k8s.io/v1\nkind: ValidatingAdmissionPolicyConfiguration\nstaticManifestsDir: /\n"))
	f.Fuzz(func(_ *testing.T, plugin string, text []byte) {
		if read := settingsOf[plugin]; read != nil && plugin != "ImagePolicyWebhook" { // which reads other files
			_ = read(&Settings{}, text)
		}
	})
}
