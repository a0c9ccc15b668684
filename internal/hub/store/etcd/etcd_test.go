package etcd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/storetest"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func embedded(t testing.TB, cfg EmbeddedConfig) *Store {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = quiet()
	}
	s, err := Embedded(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestEmbeddedConformance(t *testing.T) {
	storetest.Run(t, storetest.Subject{
		Open: func(t *testing.T) store.Store { return embedded(t, EmbeddedConfig{Dir: t.TempDir()}) },
	})
}

// TestExternalConformance runs the client against the listener of an embedded member.
func TestExternalConformance(t *testing.T) {
	certs := newCerts(t)
	for _, prefix := range []string{"", "/clusters/one"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			storetest.Run(t, storetest.Subject{
				Open: func(t *testing.T) store.Store {
					addr := freeAddr(t)
					embedded(t, EmbeddedConfig{Dir: t.TempDir(), Listen: addr, TLS: certs.server})
					s, err := External(t.Context(), ExternalConfig{
						Servers: []string{"https://" + addr}, Prefix: prefix, Log: quiet(),
						CAFile: certs.ca, CertFile: certs.cert, KeyFile: certs.key,
					})
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
			})
		})
	}
}

func TestPrefixIsTranslated(t *testing.T) {
	m := embedded(t, EmbeddedConfig{Dir: t.TempDir()})
	s := newStore(m.now.Load(), "/other")
	if _, err := s.Create(t.Context(), "/registry/pods/d/a", []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	r, err := m.now.Load().c.Get(t.Context(), "/other/pods/d/a")
	if err != nil || len(r.Kvs) != 1 {
		t.Fatalf("the key is not where it should be: %v %v", r, err)
	}
	if kv, _, err := s.Get(t.Context(), "/registry/pods/d/a"); err != nil || kv.Key != "/registry/pods/d/a" {
		t.Errorf("%+v %v", kv, err)
	}
}

func TestListenerWantsACertificate(t *testing.T) {
	certs := newCerts(t)
	addr := freeAddr(t)
	embedded(t, EmbeddedConfig{Dir: t.TempDir(), Listen: addr, TLS: certs.server})
	conf := certs.client.Clone()
	conf.Certificates = nil
	c, err := tls.Dial("tcp", addr, conf)
	if err == nil {
		c.SetReadDeadline(time.Now().Add(2 * time.Minute))
		_, err = c.Read(make([]byte, 1)) // TLS 1.3 tells the client late
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client without a certificate is served: %v", err)
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := embedded(t, EmbeddedConfig{Dir: dir})
	rev, err := s.Create(t.Context(), "/registry/a", []byte("1"), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"etcd/member/wal", "etcd/member/snap"} {
		if _, err := os.Stat(filepath.Join(dir, d)); err != nil {
			t.Error(err)
		}
	}
	s = embedded(t, EmbeddedConfig{Dir: dir})
	if kv, at, err := s.Get(t.Context(), "/registry/a"); err != nil || kv.Revision != rev || at != rev {
		t.Errorf("after reopening: %+v at %d, %v", kv, at, err)
	}
}

// TestKill writes from a child process that is killed in the middle, several times over: all that was acknowledged must
// be there.
func TestKill(t *testing.T) {
	if dir := os.Getenv("SAMPAN_ETCD_CHILD"); dir != "" {
		s := embedded(t, EmbeddedConfig{Dir: dir})
		for i := 0; ; i++ {
			key := fmt.Sprintf("/registry/k/%d-%d", os.Getpid(), i)
			if _, err := s.Create(context.Background(), key, bytes.Repeat([]byte("x"), 1000), 0); err != nil {
				t.Fatal(err)
			}
			fmt.Println("wrote " + key)
		}
	}
	dir := t.TempDir()
	var acked []string
	for round := range 4 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "SAMPAN_ETCD_CHILD="+dir)
		out := &lines{at: 50 + 37*round, reached: make(chan struct{})}
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-out.reached:
		case <-time.After(5 * time.Minute):
			t.Error("the child writes nothing")
		}
		cmd.Process.Kill()
		cmd.Wait()
		for line := range strings.Lines(out.buf.String()) {
			if key, ok := strings.CutPrefix(line, "wrote "); ok && strings.HasSuffix(line, "\n") {
				acked = append(acked, strings.TrimSpace(key))
			}
		}
	}
	s := embedded(t, EmbeddedConfig{Dir: dir})
	for _, key := range acked {
		if _, _, err := s.Get(t.Context(), key); err != nil {
			t.Errorf("acknowledged and lost: %v", err)
		}
	}
	if len(acked) < 4*50 {
		t.Errorf("only %d writes", len(acked))
	}
}

// lines collects output and tells when it has so many lines.
type lines struct {
	buf     bytes.Buffer
	at      int
	reached chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.buf.Write(p)
	if l.at > 0 && bytes.Count(l.buf.Bytes(), []byte("\n")) >= l.at {
		l.at = 0
		close(l.reached)
	}
	return len(p), nil
}

func TestIdleTickIsSet(t *testing.T) {
	var log bytes.Buffer
	embedded(t, EmbeddedConfig{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}).Close()
	if strings.Contains(log.String(), "etcd keeps its starting tick") {
		t.Error("the ticker of this etcd could not be reached: see tick")
	}
}

func TestLeasesAreShared(t *testing.T) {
	s := embedded(t, EmbeddedConfig{Dir: t.TempDir()})
	for i := range 20 {
		if _, err := s.Create(t.Context(), fmt.Sprintf("/registry/events/%d", i), []byte("x"), 3600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.now.Load().c.Leases(t.Context())
	if err != nil || len(r.Leases) != 1 {
		t.Errorf("%d leases for twenty keys, %v", len(r.Leases), err)
	}
}

func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		s, err := Embedded(context.Background(), EmbeddedConfig{Dir: b.TempDir(), Log: quiet()})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Create(context.Background(), "/registry/a", []byte("x"), 0); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

func BenchmarkPutToEvent(b *testing.B) {
	s := embedded(b, EmbeddedConfig{Dir: b.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan int64, 1)
	go s.Watch(ctx, "/registry/", 0, func(events []store.Event) error {
		for _, e := range events {
			got <- e.Revision
		}
		return nil
	})
	n := 0
	for b.Loop() {
		n++
		if _, err := s.Create(ctx, fmt.Sprintf("/registry/%d", n), make([]byte, 1024), 0); err != nil {
			b.Fatal(err)
		}
		<-got
	}
}

func BenchmarkProgress(b *testing.B) {
	s := embedded(b, EmbeddedConfig{Dir: b.TempDir()})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	got := make(chan int64, 1)
	go s.Watch(ctx, "/registry/", 0, func(events []store.Event) error { got <- 1; return nil })
	s.Create(ctx, "/registry/a", nil, 0)
	<-got
	for b.Loop() {
		if err := s.RequestProgress(ctx, "/registry/"); err != nil {
			b.Fatal(err)
		}
		<-got
	}
}

func freeAddr(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// certs is an authority with a server and a client certificate, the client's in files too.
type certs struct {
	server, client *tls.Config
	ca, cert, key  string
}

func newCerts(t *testing.T) certs {
	dir := t.TempDir()
	file := func(name, typ string, der []byte) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	caKey, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, _ = x509.ParseCertificate(caDER)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	issue := func(n int64, usage x509.ExtKeyUsage) (tls.Certificate, []byte, []byte) {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(n), Subject: pkix.Name{CommonName: "etcd"}, NotAfter: time.Now().Add(time.Hour),
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		}, ca, key.Public(), caKey)
		if err != nil {
			t.Fatal(err)
		}
		keyDER, _ := x509.MarshalECPrivateKey(key)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, der, keyDER
	}
	server, _, _ := issue(2, x509.ExtKeyUsageServerAuth)
	client, certDER, keyDER := issue(3, x509.ExtKeyUsageClientAuth)
	return certs{
		server: &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert},
		client: &tls.Config{Certificates: []tls.Certificate{client}, RootCAs: pool},
		ca:     file("ca.crt", "CERTIFICATE", caDER), cert: file("c.crt", "CERTIFICATE", certDER), key: file("c.key", "EC PRIVATE KEY", keyDER),
	}
}
