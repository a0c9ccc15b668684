package hub

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/encrypt"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
)

const (
	secrets1 = "/api/v1/namespaces/default/secrets"
	oneKey   = "/registry/secrets/default/one"
)

// kept is a store that a hub which ends leaves open.
type kept struct{ store.Store }

func (kept) Close() error { return nil }

// encrypting makes the configuration that a new cluster has, or that of a file.
func encrypting(t *testing.T, file string) *encrypt.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := encrypt.Load(path, false, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func stored(t *testing.T, st store.Store, key string) []byte {
	t.Helper()
	kv, _, err := st.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return kv.Value
}

func TestSecretsAreEncrypted(t *testing.T) {
	st := kept{memory.New()}
	t.Run("a build before encryption", func(t *testing.T) {
		h := start(t, func(c *Config) { c.Store = st })
		if a := do(h, "POST", secrets1, `{"metadata":{"name":"one"},"stringData":{"k":"word"}}`); a.code != 201 {
			t.Fatalf("%d %s", a.code, a.body)
		}
	})
	if v := stored(t, st, oneKey); !bytes.Contains(v, []byte("word")) {
		t.Fatalf("%q", v)
	}
	file := string(encrypt.NewFile())
	t.Run("with it", func(t *testing.T) {
		h := start(t, func(c *Config) { c.Store, c.Encryption = st, encrypting(t, file) })
		one := do(h, "GET", secrets1+"/one", "")
		if one.code != 200 || dig(one.object(t), "data.k") != "d29yZA==" {
			t.Fatalf("%d %s", one.code, one.body)
		}
		if a := do(h, "POST", secrets1, `{"metadata":{"name":"two"},"stringData":{"k":"word"}}`); a.code != 201 {
			t.Fatalf("%d %s", a.code, a.body)
		}
		if v := stored(t, st, "/registry/secrets/default/two"); !bytes.HasPrefix(v, []byte("k8s:enc:secretbox:v1:key1:")) {
			t.Errorf("%q", v)
		}
		if v := stored(t, st, oneKey); !bytes.Contains(v, []byte("word")) {
			t.Errorf("it was rewritten by itself: %q", v)
		}
		// A write that changes nothing encrypts it, once.
		for range 2 {
			if a := do(h, "PUT", secrets1+"/one", string(do(h, "GET", secrets1+"/one", "").body)); a.code != 200 {
				t.Fatalf("%d %s", a.code, a.body)
			}
		}
		v := stored(t, st, oneKey)
		if !bytes.HasPrefix(v, []byte("k8s:enc:secretbox:v1:key1:")) {
			t.Errorf("%q", v)
		}
		if do(h, "PUT", secrets1+"/one", string(do(h, "GET", secrets1+"/one", "").body)); !bytes.Equal(v, stored(t, st, oneKey)) {
			t.Error("what is as it should be is written again")
		}
	})
	t.Run("with other keys", func(t *testing.T) {
		h := start(t, func(c *Config) { c.Store, c.Encryption = st, encrypting(t, string(encrypt.NewFile())) })
		const why = "output array was not large enough for encryption"
		if a := do(h, "GET", secrets1+"/one", ""); a.code != 500 || !strings.Contains(a.status(t).Message, why) {
			t.Errorf("%d %s", a.code, a.body)
		}
		if a := do(h, "DELETE", secrets1+"/one", ""); a.code != 500 {
			t.Errorf("%d %s", a.code, a.body)
		}
		a := do(h, "GET", secrets1, "")
		if a.code != 200 || len(dig(a.object(t), "items").([]any)) != 0 || !strings.Contains(a.header.Get("Warning"), why) {
			t.Errorf("%d %s %v", a.code, a.body, a.header)
		}
	})
	t.Run("without any", func(t *testing.T) {
		h := start(t, func(c *Config) { c.Store = st })
		for _, method := range []string{"GET", "DELETE"} {
			if a := do(h, method, secrets1+"/one", ""); a.code != 500 || !strings.Contains(a.status(t).Message, "identity transformer tried to read encrypted data") {
				t.Errorf("%s: %d %s", method, a.code, a.body)
			}
		}
	})
	t.Run("with its keys again", func(t *testing.T) {
		h := start(t, func(c *Config) { c.Store, c.Encryption = st, encrypting(t, file) })
		if a := do(h, "GET", secrets1, ""); len(dig(a.object(t), "items").([]any)) != 2 {
			t.Errorf("%d %s", a.code, a.body)
		}
	})
}

// A whole request at level RequestResponse, with what authorization says of it.
func TestAuditPolicy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	policy := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitManagedFields: true\nrules:\n- {level: RequestResponse, resources: [{group: '', resources: [configmaps]}]}\n- {level: Metadata, nonResourceURLs: ['/api']}\n- {level: None}\n"
	if err := os.WriteFile(path, []byte(policy), 0o600); err != nil {
		t.Fatal(err)
	}
	p, _, err := audit.ReadPolicy(path)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	h := start(t, func(c *Config) {
		bare(c)
		c.Authorizer, c.Audit = allowAll{}, &audit.Log{Policy: p, Sink: audit.NewLines(&out)}
	})
	events := func(method, path, body string, headers ...string) []map[string]any {
		t.Helper()
		out.Reset()
		do(h, method, path, body, headers...)
		var all []map[string]any
		for line := range strings.Lines(out.String()) {
			all = append(all, answer{body: []byte(line)}.object(t))
		}
		return all
	}
	made := events("POST", cms, `{"metadata":{"name":"a"},"data":{"k":"v"}}`)
	if len(made) != 2 || made[0]["stage"] != "RequestReceived" || made[1]["stage"] != "ResponseComplete" {
		t.Fatalf("%v", made)
	}
	for path, want := range map[string]any{
		"level": "RequestResponse", "verb": "create", "objectRef.name": "a", "responseStatus.code": 201.0, "requestObject.data.k": "v",
		"responseObject.data.k": "v", "responseObject.metadata.managedFields": nil, "annotations.authorization.k8s.io/decision": nil,
	} {
		if got := dig(made[1], path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
	if notes := made[1]["annotations"].(map[string]any); notes["authorization.k8s.io/decision"] != "allow" {
		t.Errorf("%v", notes)
	}
	patched := events("PATCH", cms+"/a", `{"data":{"k":"w"}}`, "Content-Type: application/merge-patch+json")
	if len(patched) != 2 || dig(patched[1], "requestObject.data.k") != "w" || dig(patched[1], "responseObject.data.k") != "w" {
		t.Errorf("%v", patched)
	}
	gone := events("DELETE", cms+"/a", "")
	if len(gone) != 2 || dig(gone[1], "responseStatus.status") != "Success" || dig(gone[1], "requestObject.kind") != "DeleteOptions" || dig(gone[1], "responseObject.kind") != "Status" {
		t.Errorf("%v", gone)
	}
	missing := events("GET", cms+"/a", "", "X-User: jane", "Impersonate-User: bob")
	if len(missing) != 2 || dig(missing[1], "responseStatus.reason") != "NotFound" || dig(missing[1], "responseObject.code") != 404.0 || dig(missing[1], "user.username") != "jane" ||
		dig(missing[1], "impersonatedUser.username") != "bob" || dig(missing[1], "authenticationMetadata.impersonationConstraint") != "impersonate:user-info" {
		t.Errorf("%v", missing)
	}
	if listed := events("GET", cms, ""); len(listed) != 2 || dig(listed[1], "responseObject.kind") != "ConfigMapList" {
		t.Errorf("%v", listed)
	}
	if unknown := events("GET", "/api", "", "X-User: nobody"); len(unknown) != 1 || unknown[0]["stage"] != "ResponseStarted" || dig(unknown[0], "responseStatus.message") != "Unauthorized" {
		t.Errorf("%v", unknown)
	}
	if quiet := events("GET", "/version", ""); len(quiet) != 0 {
		t.Errorf("%v", quiet)
	}
}
