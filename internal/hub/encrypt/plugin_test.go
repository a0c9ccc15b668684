package encrypt

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sampan.dev/internal/hub/store"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	kmsapi "k8s.io/kms/apis/v2"
)

// service is a KMS plugin that only turns over the bits of what it is given.
type service struct {
	kmsapi.UnimplementedKeyManagementServiceServer
	mu              sync.Mutex
	keyID           string
	down            bool
	encrypts, opens int
}

func (s *service) Status(context.Context, *kmsapi.StatusRequest) (*kmsapi.StatusResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, status.Error(codes.Unavailable, "down")
	}
	return &kmsapi.StatusResponse{Version: "v2", Healthz: "ok", KeyId: s.keyID}, nil
}

func (s *service) Encrypt(_ context.Context, r *kmsapi.EncryptRequest) (*kmsapi.EncryptResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.encrypts++
	return &kmsapi.EncryptResponse{Ciphertext: turned(r.Plaintext), KeyId: s.keyID, Annotations: map[string][]byte{"note.example.org": []byte("x")}}, nil
}

func (s *service) Decrypt(_ context.Context, r *kmsapi.DecryptRequest) (*kmsapi.DecryptResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens++
	if s.down {
		return nil, status.Error(codes.Unavailable, "down")
	}
	if string(r.Annotations["note.example.org"]) != "x" {
		return nil, status.Error(codes.InvalidArgument, "no note")
	}
	return &kmsapi.DecryptResponse{Plaintext: turned(r.Ciphertext)}, nil
}

func (s *service) set(keyID string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keyID, s.down = keyID, down
}

func turned(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}

// kms serves s and returns a configuration that uses it.
func kms(t *testing.T, s *service) *Config {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "kms.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	kmsapi.RegisterKeyManagementServiceServer(server, s)
	go server.Serve(l) //nolint:errcheck // ends with Stop
	t.Cleanup(server.Stop)
	return load(t, "  - kms: {apiVersion: v2, name: mine, endpoint: 'unix://"+socket+"', timeout: 1m}\n")
}

func TestPlugin(t *testing.T) {
	s := &service{keyID: "1"}
	c := kms(t, s)
	defer c.Close()
	const at = "/registry/secrets/default/a"
	sealer, plain := c.Sealer(secrets, ""), []byte("k8s\x00secret")
	if _, err := sealer.Seal(t.Context(), at, plain); err == nil || err.Error() != "got unexpected nil transformer" {
		t.Errorf("before the plugin has answered: %v", err)
	}
	c.Prime(t.Context())
	stored, err := sealer.Seal(t.Context(), at, plain)
	if err != nil || !bytes.HasPrefix(stored, []byte("k8s:enc:kms:v2:mine:")) {
		t.Fatalf("%q, %v", stored, err)
	}
	if got, stale, err := sealer.Open(t.Context(), at, stored); err != nil || stale || !bytes.Equal(got, plain) {
		t.Errorf("%q, stale %v, %v", got, stale, err)
	}
	if s.encrypts != 1 || s.opens != 0 {
		t.Errorf("the plugin was asked to encrypt %d times and to decrypt %d times", s.encrypts, s.opens)
	}

	// Another process has the seed decrypted, once for all values.
	other := kms(t, s)
	defer other.Close()
	other.Prime(t.Context())
	for range 3 {
		if got, stale, err := other.Sealer(secrets, "").Open(t.Context(), at, stored); err != nil || stale || !bytes.Equal(got, plain) {
			t.Errorf("another process: %q, stale %v, %v", got, stale, err)
		}
	}
	if s.opens != 1 {
		t.Errorf("the plugin was asked to decrypt %d times", s.opens)
	}
}

func TestPluginChangesItsKey(t *testing.T) {
	s := &service{keyID: "1"}
	c := kms(t, s)
	defer c.Close()
	c.Prime(t.Context())
	const at = "/registry/secrets/default/a"
	sealer := c.Sealer(secrets, "")
	stored, err := sealer.Seal(t.Context(), at, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	s.set("2", false)
	p := c.now.Load().plugins[0]
	if err := p.ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, stale, err := sealer.Open(t.Context(), at, stored); err != nil || !stale {
		t.Errorf("what the key before protects: stale %v, %v", stale, err)
	}

	// One that does not answer lets values be written for three minutes more, and read as long as they are known.
	s.set("2", true)
	if err := c.Check(t.Context()); err != nil {
		t.Errorf("an answer counts for %v: %v", goodFor, err)
	}
	p.asked = time.Time{}
	if err := c.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "failed to perform status section of the healthz check for KMS Provider mine") {
		t.Errorf("check: %v", err)
	}
	if _, err := sealer.Seal(t.Context(), at, []byte("x")); err != nil {
		t.Error(err)
	}
	w := *p.now.Load()
	w.until = time.Now().Add(-time.Second)
	p.now.Store(&w)
	if _, err := sealer.Seal(t.Context(), at, []byte("x")); err == nil || !strings.Contains(err.Error(), "encryptedDEKSource with keyID hash") {
		t.Errorf("after that: %v", err)
	}
	p.opened.Clear()
	if _, _, err := sealer.Open(t.Context(), at, stored); !errors.Is(err, store.ErrUnready) {
		t.Errorf("a value that only the plugin could open: %v", err)
	}
}

func TestEnvelope(t *testing.T) {
	e := &envelope{data: []byte("data"), wrapped: wrapped{keyID: "id", source: []byte("source"), annotations: map[string][]byte{"b.example.org": {2}, "a.example.org": {1}}, kind: sourceSeed}}
	got, err := parseEnvelope(e.marshal())
	if err != nil || got.keyID != "id" || string(got.data) != "data" || string(got.source) != "source" || got.kind != sourceSeed || got.annotations["a.example.org"][0] != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, c := range []struct {
		e    envelope
		want string
	}{
		{envelope{}, "encrypted data is empty"},
		{envelope{data: []byte("x")}, "failed to validate encrypted DEK source: encrypted DEK source is empty"},
		{envelope{data: []byte("x"), wrapped: wrapped{source: make([]byte, 1025)}}, "failed to validate encrypted DEK source: encrypted DEK source is 1025 bytes, which exceeds the max size of 1024"},
		{envelope{data: []byte("x"), wrapped: wrapped{source: []byte("x")}}, "failed to validate key id: keyID is empty"},
		{envelope{data: []byte("x"), wrapped: wrapped{source: []byte("x"), keyID: "x", kind: 9}}, "unknown encryptedDEKSourceType: 9"},
	} {
		if _, err := parseEnvelope(c.e.marshal()); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v", c.want, err)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	e := &envelope{data: []byte("data"), wrapped: wrapped{keyID: "id", source: []byte("source"), kind: sourceSeed}}
	f.Add(e.marshal())
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseEnvelope(data)
		if err != nil {
			return
		}
		if again, err := parseEnvelope(e.marshal()); err != nil || !bytes.Equal(again.data, e.data) || again.id() != e.id() {
			t.Errorf("%+v, %+v, %v", e, again, err)
		}
	})
}
