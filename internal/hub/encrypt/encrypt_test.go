package encrypt

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var secrets = schema.GroupResource{Resource: "secrets"}

const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"

func key(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

func write(t *testing.T, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, providers string) *Config {
	t.Helper()
	c, err := Load(write(t, head+"- resources: [secrets]\n  providers:\n"+providers), false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestProvidersReadWhatTheyWrite(t *testing.T) {
	const at = "/registry/secrets/default/a"
	for _, c := range []struct{ provider, prefix string }{
		{"  - secretbox: {keys: [{name: k1, secret: " + key(1) + "}]}\n", "k8s:enc:secretbox:v1:k1:"},
		{"  - aesgcm: {keys: [{name: k1, secret: " + key(1) + "}]}\n", "k8s:enc:aesgcm:v1:k1:"},
		{"  - aescbc: {keys: [{name: k1, secret: " + key(1) + "}]}\n", "k8s:enc:aescbc:v1:k1:"},
		{"  - identity: {}\n", "k8s\x00"},
	} {
		s := load(t, c.provider).Sealer(secrets, "")
		for _, n := range []int{0, 1, 15, 16, 17, 5000} {
			plain := append([]byte("k8s\x00"), bytes.Repeat([]byte{'x'}, n)...)
			stored, err := s.Seal(t.Context(), at, plain)
			if err != nil || !bytes.HasPrefix(stored, []byte(c.prefix)) {
				t.Fatalf("%s: %q, %v", c.prefix, stored, err)
			}
			got, stale, err := s.Open(t.Context(), at, stored)
			if err != nil || stale || !bytes.Equal(got, plain) {
				t.Errorf("%s: %d bytes come back as %d, stale %v, %v", c.prefix, len(plain), len(got), stale, err)
			}
		}
	}
}

// The values were written by kube-apiserver v1.37.1, with a key of 32 bytes that are 7.
func TestReadsWhatUpstreamWrote(t *testing.T) {
	for name, at := range map[string]string{"secretbox": "/registry/secrets/default/vector", "aesgcm": "/registry/configmaps/default/vector", "aescbc": "/registry/serviceaccounts/default/vector"} {
		data, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
		if err != nil {
			t.Fatal(err)
		}
		stored, err := hex.DecodeString(strings.TrimSpace(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		s := load(t, "  - "+name+": {keys: [{name: key1, secret: "+key(7)+"}]}\n").Sealer(secrets, "/registry")
		got, stale, err := s.Open(t.Context(), at, stored)
		if err != nil || stale || !bytes.HasPrefix(got, []byte("k8s\x00")) || !bytes.Contains(got, []byte("vector")) {
			t.Errorf("%s: %q, stale %v, %v", name, got, stale, err)
		}
	}
}

func TestOrderOfProviders(t *testing.T) {
	const at = "/registry/secrets/default/a"
	box1, box2 := "  - secretbox: {keys: [{name: k1, secret: "+key(1)+"}]}\n", "  - secretbox: {keys: [{name: k2, secret: "+key(2)+"}, {name: k1, secret: "+key(1)+"}]}\n"
	plain := []byte("k8s\x00secret")
	old, err := load(t, box1).Sealer(secrets, "").Seal(t.Context(), at, plain)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, providers string
		stored          []byte
		stale           bool
		want            string // error
	}{
		{"own", box1, old, false, ""},
		{"an older key", box2, old, true, ""},
		{"a later provider", "  - aesgcm: {keys: [{name: k1, secret: " + key(1) + "}]}\n" + box1, old, true, ""},
		{"plain before", box1 + "  - identity: {}\n", plain, true, ""},
		{"back to plain", "  - identity: {}\n" + box1, old, true, ""},
		{"plain, no identity", box1, plain, false, "no matching prefix found"},
		{"no such key", "  - secretbox: {keys: [{name: other, secret: " + key(1) + "}]}\n", old, false, "no matching key was found for the provided Secretbox transformer"},
		{"the wrong key", "  - secretbox: {keys: [{name: k1, secret: " + key(3) + "}]}\n", old, false, "output array was not large enough for encryption"},
		{"identity only", "  - identity: {}\n", old, false, "no matching prefix found"},
	} {
		got, stale, err := load(t, c.providers).Sealer(secrets, "").Open(t.Context(), at, c.stored)
		switch {
		case c.want != "" && (err == nil || err.Error() != c.want):
			t.Errorf("%s: %v", c.name, err)
		case c.want == "" && (err != nil || stale != c.stale || !bytes.Equal(got, plain)):
			t.Errorf("%s: %q, stale %v, %v", c.name, got, stale, err)
		}
	}
	gcm := load(t, "  - aesgcm: {keys: [{name: k1, secret: "+key(1)+"}]}\n").Sealer(secrets, "")
	stored, err := gcm.Seal(t.Context(), at, plain)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := gcm.Open(t.Context(), at+"b", stored); err == nil {
		t.Error("a value that was moved to another key can be read")
	}
}

func TestWhichResources(t *testing.T) {
	path := write(t, head+`- resources: [configmaps]
  providers: [{identity: {}}]
- resources: [secrets, pandas.example.org]
  providers: [{secretbox: {keys: [{name: s, secret: `+key(1)+`}]}}]
- resources: ['*.apps']
  providers: [{secretbox: {keys: [{name: a, secret: `+key(1)+`}]}}]
- resources: ['*.*']
  providers: [{secretbox: {keys: [{name: all, secret: `+key(1)+`}]}}]
`)
	c, err := Load(path, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for resource, want := range map[string]string{"configmaps": "", "secrets": "s", "pandas.example.org": "s", "deployments.apps": "a", "pods": "all", "jobs.batch": "all"} {
		stored, err := c.Sealer(schema.ParseGroupResource(resource), "").Seal(t.Context(), "/registry/x", []byte("k8s\x00"))
		if want != "" {
			want = "k8s:enc:secretbox:v1:" + want + ":"
		}
		if err != nil || !bytes.HasPrefix(stored, []byte(want)) || want == "" && string(stored) != "k8s\x00" {
			t.Errorf("%s: %q, %v", resource, stored, err)
		}
	}
	if s := load(t, "  - identity: {}\n").Sealer(schema.GroupResource{Resource: "pods"}, ""); s != nil {
		t.Error("values of a resource that no rule names are looked at")
	}
}

func TestBadFiles(t *testing.T) {
	for _, c := range []struct{ body, want string }{
		{"", "is empty"},
		{"kind: Pod\napiVersion: v1\n", `no kind "Pod" is registered`},
		{head + "- resources: [secrets]\n  providers: []\n", "resources[0].providers: Required value: at least one resources[0].providers is required"},
		{head + "- resources: [secrets]\n  providers: [{secretbox: {keys: [{name: a, secret: AAAA}]}}]\n", "secret is not of the expected length, got 3, expected one of [32]"},
		{head + "- resources: [secrets]\n  provider: []\n", `unknown field "resources[0].provider"`},
		{head + "- resources: [secrets, '*.*']\n  providers: [{identity: {}}]\n", "overlapping"},
		{head + "- resources: ['*.*']\n  providers: [{identity: {}}]\n- resources: [secrets]\n  providers: [{identity: {}}]\n", `resource "secrets" is masked by earlier rule "*.*"`},
		{head + "- resources: [secrets]\n  providers: [{kms: {name: a, endpoint: 'unix:///x'}}]\n", "KMSv1 is deprecated"},
		{head + "- resources: [secrets]\n  providers: [{kms: {apiVersion: v2, name: a, endpoint: 'tcp://x'}}]\n", `unsupported scheme "tcp" for KMS provider, only unix is supported`},
	} {
		_, err := Load(write(t, c.body), false, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.body, err)
		}
	}
	if _, err := Load(write(t, string(NewFile())), false, slog.New(slog.DiscardHandler)); err != nil {
		t.Errorf("the file that is made: %v", err)
	}
}

func TestReload(t *testing.T) {
	before, after := head+"- resources: [secrets]\n  providers:\n  - secretbox: {keys: [{name: k1, secret: "+key(1)+"}]}\n", head+"- resources: [secrets]\n  providers:\n  - secretbox: {keys: [{name: k2, secret: "+key(2)+"}, {name: k1, secret: "+key(1)+"}]}\n"
	path := write(t, before)
	c, err := Load(path, true, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Sealer(secrets, "")
	old, err := s.Seal(t.Context(), "/registry/secrets/a", []byte("k8s\x00"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	changed := s.Changed()
	go func() { ended <- c.Run(ctx) }()
	if err := os.WriteFile(path, []byte(after), 0o600); err != nil {
		t.Fatal(err)
	}
	<-changed
	if stored, err := s.Seal(t.Context(), "/registry/secrets/a", nil); err != nil || !bytes.HasPrefix(stored, []byte("k8s:enc:secretbox:v1:k2:")) {
		t.Errorf("%q, %v", stored, err)
	}
	if _, stale, err := s.Open(t.Context(), "/registry/secrets/a", old); err != nil || !stale {
		t.Errorf("stale %v, %v", stale, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
