package static

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/api"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	head    = "apiVersion: admissionregistration.k8s.io/v1\n"
	policy  = head + "kind: ValidatingAdmissionPolicy\nmetadata: {name: p.static.k8s.io}\nspec:\n  matchConstraints: {resourceRules: [{operations: ['*'], apiGroups: [''], apiVersions: ['*'], resources: [configmaps]}]}\n  validations: [{expression: 'object.x == 1'}]\n"
	binding = head + "kind: ValidatingAdmissionPolicyBinding\nmetadata: {name: b.static.k8s.io}\nspec: {policyName: p.static.k8s.io, validationActions: [Deny]}\n"
	hook    = head + "kind: ValidatingWebhookConfiguration\nmetadata: {name: h.static.k8s.io}\nwebhooks: [{name: a.b.c, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: 'https://x/y'}}]\n"
)

func folderOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(lists [][]api.Object) string {
	var out []string
	for _, l := range lists {
		for _, o := range l {
			out = append(out, o.GetName())
		}
	}
	return strings.Join(out, " ")
}

func TestLoad(t *testing.T) {
	const policies, hooks = "ValidatingAdmissionPolicy", "ValidatingAdmissionWebhook"
	swap := func(text, old, with string) string { return strings.Replace(text, old, with, 1) }
	for name, c := range map[string]struct {
		plugin string
		files  map[string]string
		want   string // names
		err    string // its end; {dir} stands for the folder
	}{
		"none":                 {policies, nil, "", ""},
		"other files":          {policies, map[string]string{"a.txt": "x", "b.yaml": "", "c.yml": "\n---\n"}, "", ""},
		"two documents":        {policies, map[string]string{"a.yaml": binding + "---\n" + policy}, "p.static.k8s.io b.static.k8s.io", ""},
		"two files":            {policies, map[string]string{"a.YAML": binding, "b.yml": policy}, "p.static.k8s.io b.static.k8s.io", ""},
		"by name":              {policies, map[string]string{"a.yaml": policy + "---\n" + swap(policy, "name: p", "name: o")}, "o.static.k8s.io p.static.k8s.io", ""},
		"a list of the kind":   {hooks, map[string]string{"a.yaml": head + "kind: ValidatingWebhookConfigurationList\nitems: [{metadata: {name: h.static.k8s.io}, webhooks: []}]\n"}, "h.static.k8s.io", ""},
		"a list of anything":   {hooks, map[string]string{"a.json": `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"h.static.k8s.io"}}]}`}, "h.static.k8s.io", ""},
		"a webhook":            {hooks, map[string]string{"a.yaml": hook}, "h.static.k8s.io", ""},
		"a name":               {hooks, map[string]string{"a.yaml": swap(hook, ".static.k8s.io", "")}, "", `error loading {dir}/a.yaml: "h" in file "{dir}/a.yaml" must have a name ending with ".static.k8s.io"`},
		"a name twice":         {hooks, map[string]string{"a.yaml": hook, "b.yaml": hook}, "", `error loading {dir}/b.yaml: duplicate name "h.static.k8s.io" found in file "{dir}/b.yaml" (previously seen in "{dir}/a.yaml")`},
		"no name":              {hooks, map[string]string{"a.yaml": swap(hook, "name: h.static.k8s.io", "")}, "", `error loading {dir}/a.yaml: ValidatingWebhookConfiguration "": metadata.name`},
		"a service":            {hooks, map[string]string{"a.yaml": swap(hook, "url: 'https://x/y'", "service: {name: a, namespace: b}")}, "", `webhook "a.b.c" in "h.static.k8s.io" (file "{dir}/a.yaml"): clientConfig.service is not supported for static manifests; use clientConfig.url instead`},
		"invalid":              {hooks, map[string]string{"a.yaml": swap(hook, "https:", "http:")}, "", `error loading {dir}/a.yaml: ValidatingWebhookConfiguration "h.static.k8s.io": webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]`},
		"an unknown field":     {hooks, map[string]string{"a.yaml": swap(hook, "sideEffects", "sideEffect")}, "", `error loading {dir}/a.yaml: strict decoding error: unknown field "webhooks[0].sideEffect"`},
		"another plugin's":     {hooks, map[string]string{"a.yaml": policy}, "", `error loading {dir}/a.yaml: unsupported resource type *v1.ValidatingAdmissionPolicy`},
		"no YAML":              {hooks, map[string]string{"a.yaml": "a: b: c"}, "", "mapping values are not allowed in this context"},
		"parameters":           {policies, map[string]string{"a.yaml": swap(policy, "spec:\n", "spec:\n  paramKind: {apiVersion: v1, kind: ConfigMap}\n")}, "", `ValidatingAdmissionPolicy "p.static.k8s.io": spec.paramKind is not supported for static manifests`},
		"bound to parameters":  {policies, map[string]string{"a.yaml": policy + "---\n" + swap(binding, "spec: {", "spec: {paramRef: {name: x, parameterNotFoundAction: Deny}, ")}, "", `binding "b.static.k8s.io": spec.paramRef is not supported for static manifests`},
		"bound to the API's":   {policies, map[string]string{"a.yaml": swap(binding, "policyName: p.static.k8s.io", "policyName: p")}, "", `binding "b.static.k8s.io": spec.policyName "p" must end with ".static.k8s.io"`},
		"bound to nothing":     {policies, map[string]string{"a.yaml": binding}, "", `binding "b.static.k8s.io" references policy "p.static.k8s.io" which does not exist in the manifest directory`},
		"an expression":        {policies, map[string]string{"a.yaml": swap(policy, "object.x == 1", "object.x ==")}, "", "Syntax error"},
		"a mutating policy":    {"MutatingAdmissionPolicy", map[string]string{"a.yaml": policy}, "", "unsupported resource type *v1.ValidatingAdmissionPolicy"},
		"mutating and bound":   {"MutatingAdmissionPolicy", map[string]string{"a.yaml": head + "kind: MutatingAdmissionPolicy\nmetadata: {name: m.static.k8s.io}\nspec:\n  reinvocationPolicy: Never\n  matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [''], apiVersions: ['*'], resources: [configmaps]}]}\n  mutations: [{patchType: JSONPatch, jsonPatch: {expression: '[JSONPatch{op: \"remove\", path: \"/data\"}]'}}]\n---\n" + head + "kind: MutatingAdmissionPolicyBinding\nmetadata: {name: n.static.k8s.io}\nspec: {policyName: m.static.k8s.io}\n"}, "m.static.k8s.io n.static.k8s.io", ""},
		"a mutating webhook":   {"MutatingAdmissionWebhook", map[string]string{"a.yaml": swap(hook, "Validating", "Mutating")}, "h.static.k8s.io", ""},
		"a kind of that group": {hooks, map[string]string{"a.yaml": head + "kind: Nothing\n"}, "", `no kind "Nothing" is registered for version "admissionregistration.k8s.io/v1"`},
	} {
		dir := folderOf(t, c.files)
		lists, hash, err := load(dir, kindsOf(c.plugin))
		switch want := strings.ReplaceAll(c.err, "{dir}", dir); {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v\nwant %s", name, err, want)
		case err == nil && names(lists) != c.want:
			t.Errorf("%s: %s, want %s", name, names(lists), c.want)
		case err == nil && (hash == "") != (c.want == "" && c.files["c.yml"] == ""):
			t.Errorf("%s: hash %q", name, hash)
		}
	}
	if _, _, err := load("/no/such", kindsOf(policies)); err == nil || !strings.HasPrefix(err.Error(), `failed to read manifest directory "/no/such": `) {
		t.Error(err)
	}
}

// The folder is followed; what is wrong changes nothing.
func TestFollow(t *testing.T) {
	reg := prometheus.NewRegistry()
	dir := folderOf(t, map[string]string{"a.yaml": policy})
	m := NewMetrics("apiserver-x", reg.MustRegister)
	f, err := Open("ValidatingAdmissionPolicy", dir, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	changed, done := make(chan string, 16), make(chan error, 1)
	go func() { done <- f.Follow(ctx, func() { changed <- names(f.Lists()) }) }()
	write := func(name, text string) {
		tmp := filepath.Join(dir, name+".tmp")
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("b.yaml", strings.Replace(policy, "name: p", "name: q", 1))
	if got := <-changed; got != "p.static.k8s.io q.static.k8s.io" {
		t.Error(got)
	}
	write("b.yaml", "kind: Mistake")
	for !strings.Contains(text(t, reg), `automatic_reloads_total{failure`) {
		select {
		case got := <-changed:
			t.Fatal("a mistake was taken:", got)
		default:
		}
	}
	if got := names(f.Lists()); got != "p.static.k8s.io q.static.k8s.io" {
		t.Error(got)
	}
	write("b.yaml", binding)
	if got := <-changed; got != "p.static.k8s.io b.static.k8s.io" {
		t.Error(got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := text(t, reg); strings.Count(got, "last_config_info{") != 1 || !strings.Contains(got, `last_config_info{ValidatingAdmissionPolicy sha256:`) {
		t.Error(got)
	}
	var none *Files
	if none.Lists() != nil {
		t.Error("objects of no files")
	}
}

// text are the metrics, name{label values} a line, labels by their names backwards.
func text(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range all {
		for _, m := range f.Metric {
			b.WriteString(f.GetName() + "{")
			for i := len(m.Label) - 1; i >= 0; i-- {
				b.WriteString(m.Label[i].GetValue() + " ")
			}
			b.WriteString("}\n")
		}
	}
	return b.String()
}
