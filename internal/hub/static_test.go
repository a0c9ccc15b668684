package hub

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/api/all"
	"sampan.dev/internal/hub/store/memory"

	admissionv1 "k8s.io/api/admission/v1"
)

const (
	staticPolicies = `apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: first.static.k8s.io}
spec:
  matchConstraints: {resourceRules: [{operations: ['*'], apiGroups: ['', admissionregistration.k8s.io], apiVersions: ['*'], resources: [configmaps, validatingadmissionpolicies]}]}
  validations: [{expression: "request.name != 'no'", message: not this name}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: first.static.k8s.io}
spec: {policyName: first.static.k8s.io, validationActions: [Deny]}
`
	anyPolicy = `{"metadata":{"name":"NAME"},"spec":{"matchConstraints":{"resourceRules":[{"operations":["CREATE"],"apiGroups":["*"],"apiVersions":["*"],"resources":["*"]}]},"validations":[{"expression":"false","message":"never"}]}}`
)

// What a server reads from its own files is asked first, and about policies too; the API neither shows it nor binds to it.
func TestStaticPolicies(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(file, []byte(staticPolicies), 0o600); err != nil {
		t.Fatal(err)
	}
	h := start(t, func(c *Config) { c.Admission.Manifests = map[string]string{"ValidatingAdmissionPolicy": dir} })
	const refused = "ValidatingAdmissionPolicy 'first.static.k8s.io' with binding 'first.static.k8s.io' denied request: not this name"
	for _, c := range []struct{ path, body string }{
		{configMaps, configMap("no", "")},
		{policyPath + "validatingadmissionpolicies", strings.Replace(anyPolicy, "NAME", "no", 1)},
	} {
		if a := do(h, "POST", c.path, c.body); a.code != 422 || !strings.Contains(string(a.body), refused) {
			t.Errorf("%s: %d %s", c.path, a.code, a.body)
		}
	}
	expect(t, h, "201 POST "+configMaps, configMap("yes", ""))
	expect(t, h, "404 GET "+policyPath+"validatingadmissionpolicies/first.static.k8s.io", "")
	expect(t, h, "422 POST "+policyPath+"validatingadmissionpolicies", strings.Replace(anyPolicy, "NAME", "x.static.k8s.io", 1))
	// A binding of the API's does not reach the policy of the file, and a policy of the API's is not asked about policies but about webhooks.
	expect(t, h, "201 POST "+policyPath+"validatingadmissionpolicybindings", `{"metadata":{"name":"b"},"spec":{"policyName":"first.static.k8s.io","validationActions":["Warn"]}}`)
	if a := do(h, "POST", configMaps, configMap("no", "")); len(a.header["Warning"]) > 0 {
		t.Errorf("warned: %v", a.header)
	}
	expect(t, h, "201 POST "+policyPath+"validatingadmissionpolicies", strings.Replace(anyPolicy, "NAME", "all", 1))
	expect(t, h, "201 POST "+policyPath+"validatingadmissionpolicybindings", `{"metadata":{"name":"all"},"spec":{"policyName":"all","validationActions":["Deny"]}}`)
	expect(t, h, "201 POST "+policyPath+"validatingadmissionpolicies", strings.Replace(anyPolicy, "NAME", "other", 1))
	if a := do(h, "POST", validatingPath, `{"metadata":{"name":"w"}}`); a.code != 422 || !strings.Contains(string(a.body), "'all' with binding 'all' denied request: never") {
		t.Errorf("a policy about webhooks: %d %s", a.code, a.body)
	}
	// Another file takes effect without the API's doing.
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(staticPolicies, "'no'", "'yes'")), 0o600); err != nil {
		t.Fatal(err)
	}
	for do(h, "PUT", configMaps+"/yes", configMap("yes", "")).code == 200 {
	}
	expect(t, h, "200 GET "+configMaps+"/yes", "")
}

func TestStaticWebhooks(t *testing.T) {
	s := newHookServer(t)
	s.on("/v", func(r *admissionv1.AdmissionReview) any {
		return &admissionv1.AdmissionResponse{Allowed: r.Request.Name != "no"}
	})
	dir := t.TempDir()
	text := s.configuration("ValidatingWebhookConfiguration", "h.static.k8s.io", `{"rules":[{"operations":["CREATE"],"apiGroups":["*"],"apiVersions":["*"],"resources":["configmaps","mutatingwebhookconfigurations"]}]}`, "/v")
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h := start(t, func(c *Config) { c.Admission.Manifests = map[string]string{"ValidatingAdmissionWebhook": dir} })
	expect(t, h, "201 POST "+configMaps, configMap("yes", ""))
	expect(t, h, "400 POST "+configMaps, configMap("no", ""))
	expect(t, h, "400 POST "+mutatingPath, `{"metadata":{"name":"no"}}`)
	expect(t, h, "201 POST "+mutatingPath, `{"metadata":{"name":"yes"}}`)
	if a := do(h, "GET", "/metrics", ""); !strings.Contains(string(a.body), `apiserver_manifest_admission_config_controller_automatic_reloads_total{apiserver_id_hash="sha256:`) {
		t.Error("no metric of manifests")
	}
}

// A mistake stops the start; where the plugin is off nobody looks.
func TestStaticMistake(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.yaml"), []byte("kind: Pod\napiVersion: v1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Kinds: all.Kinds(), Store: memory.New(), Log: quiet()}
	defer cfg.Store.Close()
	cfg.Admission.Manifests = map[string]string{"MutatingAdmissionWebhook": dir}
	want := `failed to initialize admission plugin "MutatingAdmissionWebhook": failed to load static webhook manifests from "` + dir + `": error loading ` + dir + `/a.yaml: no kind "Pod" is registered for version "v1"`
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
	cfg.DisableAdmission = map[string]bool{"MutatingAdmissionWebhook": true}
	if _, err := New(cfg); err != nil {
		t.Error(err)
	}
}
