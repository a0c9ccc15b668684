package provider

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
)

// program is a provider that notes each question and answers with what stands in the file named answer.
const program = `#!/bin/sh
dir=$(dirname "$0")
cat >> "$dir/asked"; echo "|$GREETING|$1" >> "$dir/asked"
cat "$dir/answer"
`

// rig is a folder with the program "p", and a configuration of it.
type rig struct {
	*testing.T
	dir  string
	logs strings.Builder
	set  *Set
}

func newRig(t *testing.T, extra string) *rig {
	t.Helper()
	r := &rig{T: t, dir: t.TempDir()}
	r.write("p", program, 0o755)
	r.write("config.yaml", `apiVersion: kubelet.config.k8s.io/v1
kind: CredentialProviderConfig
providers:
- name: p
  apiVersion: credentialprovider.kubelet.k8s.io/v1
  matchImages: ["*.example.com", "other.org:5000/team"]
  defaultCacheDuration: 0s
  args: [arg]
  env: [{name: GREETING, value: hello}]
`+extra, 0o600)
	list, hash, err := Read(filepath.Join(r.dir, "config.yaml"), r.dir)
	if err != nil || !strings.HasPrefix(hash, "sha256:") {
		t.Fatal(hash, err)
	}
	account := func(_ context.Context, ns, name string) (*corev1.ServiceAccount, error) {
		sa := &corev1.ServiceAccount{}
		sa.Namespace, sa.Name, sa.UID = ns, name, "sa-uid"
		if name == "known" {
			sa.Annotations = map[string]string{"example.com/id": "7", "example.com/else": "x"}
		}
		return sa, nil
	}
	token := func(_ context.Context, pod *corev1.Pod, req *authv1.TokenRequest) (*authv1.TokenRequest, error) {
		out := req.DeepCopy()
		out.Status.Token = fmt.Sprintf("token of %s for %s", pod.Name, req.Spec.Audiences[0])
		return out, nil
	}
	r.set = New(list, r.dir, Hub{Account: account, Token: token}, slog.New(slog.NewTextHandler(&r.logs, nil)))
	return r
}

func (r *rig) write(name, text string, mode os.FileMode) {
	r.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), mode); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) answer(kind, life, auth string) {
	r.Helper()
	r.write("answer", fmt.Sprintf(`{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":%q%s,"auth":{%s}}`, kind, life, auth), 0o600)
}

// asked is what the program has been asked since the last call.
func (r *rig) asked() string {
	r.Helper()
	data, _ := os.ReadFile(filepath.Join(r.dir, "asked"))
	_ = os.Remove(filepath.Join(r.dir, "asked"))
	return string(data)
}

func (r *rig) logins(account, image string) string {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name, pod.UID, pod.Spec.ServiceAccountName = "ns", "pod", "u", account
	var out []string
	for _, l := range r.set.Logins(r.Context(), pod, image) {
		one := l.Username + ":" + l.Password
		if l.Account != nil {
			one += "@" + l.Account.Name
		}
		out = append(out, one)
	}
	return strings.Join(out, " ")
}

// A program is asked for the images that it is for, in upstream's words, and is remembered as it says.
func TestProvider(t *testing.T) {
	r := newRig(t, "")
	r.answer("Image", "", `"*.example.com":{"username":"u","password":"p"},"elsewhere.org":{"username":"x","password":"y"}`)
	if got := r.logins("", "r.example.com/a"); got != "u:p" {
		t.Errorf("%q, %s", got, r.logs.String())
	}
	if got, want := r.asked(), `{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"r.example.com/a"}|hello|arg`+"\n"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	for _, image := range []string{"example.com/a", "r.example.org/a", "other.org/team/a", "other.org:5000/a"} {
		if got := r.logins("", image) + r.asked(); got != "" {
			t.Errorf("%s: %q", image, got)
		}
	}
	for _, c := range []struct{ kind, life, first, same, other string }{
		{"Image", `,"cacheDuration":"1h"`, "k1.example.com/a", "k1.example.com/a", "k1.example.com/b"},
		{"Registry", `,"cacheDuration":"1h"`, "k2.example.com/a", "k2.example.com/b", "k3.example.com/a"},
		{"Global", `,"cacheDuration":"1h"`, "k4.example.com/a", "k5.example.com/b", ""},
		{"Image", `,"cacheDuration":"0s"`, "k1.example.com/z", "", "k1.example.com/z"},
	} {
		if c.kind != "Global" {
			r.set = newRig(t, "").set
			r.set.bin = r.dir
		}
		r.answer(c.kind, c.life, `"*.example.com":{"username":"u","password":"p"}`)
		if got := r.logins("", c.first); got != "u:p" || r.asked() == "" {
			t.Errorf("%s: %q", c.kind, got)
		}
		if c.same != "" {
			if got, asked := r.logins("", c.same), r.asked(); got != "u:p" || asked != "" {
				t.Errorf("%s: %s again: %q, asked %q", c.kind, c.same, got, asked)
			}
		}
		if c.other != "" {
			if got, asked := r.logins("", c.other), r.asked(); got != "u:p" || asked == "" {
				t.Errorf("%s: %s: %q, asked %q", c.kind, c.other, got, asked)
			}
		}
	}
}

// A program that wants it gets a token of the pod's service account and its annotations, and its answers are that account's.
func TestProviderWithTokens(t *testing.T) {
	r := newRig(t, `  tokenAttributes:
    serviceAccountTokenAudience: registry
    cacheType: ServiceAccount
    requireServiceAccount: true
    requiredServiceAccountAnnotationKeys: [example.com/id]
`)
	r.answer("Image", `,"cacheDuration":"1h"`, `"r.example.com":{"username":"u","password":"p"}`)
	for account, want := range map[string]string{"": "", "unknown": "", "known": "u:p@known"} {
		if got := r.logins(account, "r.example.com/a"); got != want {
			t.Errorf("%q: %q, want %q (%s)", account, got, want, r.logs.String())
		}
	}
	want := `"image":"r.example.com/a","serviceAccountToken":"token of pod for registry","serviceAccountAnnotations":{"example.com/id":"7"}}`
	if got := r.asked(); !strings.Contains(got, want) {
		t.Errorf("asked %s", got)
	}
	if got := r.logins("known", "r.example.com/a"); got != "u:p@known" || r.asked() != "" {
		t.Errorf("again: %q", got)
	}
	r.answer("Image", "", `"r.example.com":{"username":"u","password":"token of pod for registry"}`)
	if got := r.logins("known", "r.example.com/b"); got != "" || !strings.Contains(r.logs.String(), "returned the service account token as the password") {
		t.Errorf("the token itself: %q", got)
	}
}

// What a program says wrongly is told in the log, without what it may have said of credentials.
func TestProviderFails(t *testing.T) {
	r := newRig(t, "")
	for answer, want := range map[string]string{
		"secret": "error decoding credential provider plugin response from stdout",
		`{"apiVersion":"credentialprovider.kubelet.k8s.io/v1beta1"}`:                     "apiVersion from credential plugin response did not match",
		`{"apiVersion":"credentialprovider.kubelet.k8s.io/v1","cacheKeyType":"Nothing"}`: "did not return a valid cacheKeyType: Nothing",
	} {
		r.write("answer", answer, 0o600)
		r.logs.Reset()
		if got := r.logins("", "r.example.com/a"); got != "" || !strings.Contains(r.logs.String(), want) || strings.Contains(r.logs.String(), "secret") {
			t.Errorf("%s: %q, %s", answer, got, r.logs.String())
		}
	}
	r.write("p", "#!/bin/sh\necho out of order >&2; exit 3\n", 0o755)
	r.logs.Reset()
	if r.logins("", "r.example.com/a"); !strings.Contains(r.logs.String(), "exit status 3: out of order") {
		t.Error(r.logs.String())
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	const head = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\n"
	const good = "{name: p, apiVersion: credentialprovider.kubelet.k8s.io/v1, matchImages: [r.io], defaultCacheDuration: 1h}"
	for text, want := range map[string]string{
		head + "providers: [" + good + "]": "",
		head:                               "at least 1 item in plugins is required",
		head + "providers: [" + good + "," + good + "]": `duplicate provider name "p" found in configuration file(s)`,
		head + "x: 1": `unknown field "x"`,
		"apiVersion: v1\nkind: CredentialProviderConfig":                                          `is registered for version "v1"`,
		"apiVersion: kubelet.config.k8s.io/v1\nkind: X":                                           `failed to decode "X" (wrong Kind)`,
		head + "providers: [" + strings.ReplaceAll(good, "name: p", "name: q") + "]":              "q did not exist",
		head + "providers: [" + strings.ReplaceAll(good, "name: p", "name: a/b") + "]":            "provider name cannot contain '/'",
		head + "providers: [" + strings.ReplaceAll(good, "/v1", "/v9") + "]":                      "Unsupported value",
		head + "providers: [" + strings.ReplaceAll(good, "1h", "-1h") + "]":                       "must be greater than or equal to 0",
		head + "providers: [" + strings.TrimSuffix(good, "}") + ", tokenAttributes: {}}]":         "serviceAccountTokenAudience: Required value",
		head + "providers: [" + strings.ReplaceAll(good, "matchImages: [r.io]", "args: []") + "]": "at least 1 item in matchImages is required",
	} {
		path := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, where := range []string{path, dir} { // the folder has the one file
			_, _, err := Read(where, dir)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s\n%v, want %s", text, err, want)
			}
		}
	}
	if _, _, err := Read(filepath.Join(dir, "c.yaml"), "/no/such"); err == nil || err.Error() != "plugin binary directory /no/such did not exist" {
		t.Error(err)
	}
}
