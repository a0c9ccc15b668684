package webhook

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

func TestAskers(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, []byte(`
apiVersion: v1
kind: Config
users:
- {name: a.b.svc, user: {token: one}}
- {name: '*.b.svc', user: {tokenFile: beside}}
- {name: 'c.io:8443', user: {username: u, password: p}}
- {name: current, user: {token: last}}
contexts: [{name: c, context: {user: current}}]
current-context: c
`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "beside"), []byte("two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	askers, err := ReadAskers(map[string]string{"ValidatingAdmissionWebhook": file})
	if err != nil || askers.Mutating != nil {
		t.Fatal(askers, err)
	}
	for target, want := range map[string]string{
		"a.b.svc:443": "Bearer one", "x.b.svc:443": "Bearer two", "c.io:8443": "Basic dTpw", "c.io:443": "Bearer last", "x.b.svc:8443": "Bearer last",
	} {
		c, err := askers.Validating.forHost(target)
		if err != nil {
			t.Fatal(err)
		}
		r, _ := http.NewRequest(http.MethodPost, "https://"+target, nil)
		if err := c.sign(r); err != nil || r.Header.Get("Authorization") != want {
			t.Errorf("%s: %q %v, want %q", target, r.Header.Get("Authorization"), err, want)
		}
	}
	if c, err := askers.Mutating.forHost("a.b.svc:443"); c != nil || err != nil {
		t.Error(c, err)
	}
	if _, err := ReadAskers(map[string]string{"MutatingAdmissionWebhook": filepath.Join(dir, "none")}); err == nil {
		t.Error("a file that is not there is no mistake")
	}
}
