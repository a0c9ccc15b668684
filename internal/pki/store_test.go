package pki

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

func testConfig(t testing.TB) Config {
	return Config{
		Dir: filepath.Join(t.TempDir(), "pki"), NodeName: "boat",
		ServiceIPs: []net.IP{net.IPv4(10, 96, 0, 1)}, IPs: []net.IP{net.IPv4(192, 0, 2, 1)},
	}
}

func TestOpenMakesWholeStore(t *testing.T) {
	cfg := testConfig(t)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{
		"ca.crt", "ca.key", "apiserver.crt", "apiserver.key", "apiserver-kubelet-client.crt", "apiserver-kubelet-client.key",
		"front-proxy-ca.crt", "front-proxy-ca.key", "front-proxy-client.crt", "front-proxy-client.key", "sa.key", "sa.pub",
		"etcd/ca.crt", "etcd/ca.key", "etcd/server.crt", "etcd/server.key", "etcd/peer.crt", "etcd/peer.key",
		"etcd/healthcheck-client.crt", "etcd/healthcheck-client.key", "apiserver-etcd-client.crt", "apiserver-etcd-client.key",
	} {
		st, err := os.Stat(filepath.Join(cfg.Dir, f))
		if err != nil {
			t.Error(err)
		} else if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f, st.Mode())
		}
	}
	if st, _ := os.Stat(cfg.Dir); st.Mode().Perm() != 0o700 {
		t.Errorf("folder has mode %v", st.Mode())
	}
	if left, _ := filepath.Glob(cfg.Dir + ".new-*"); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
	for _, name := range []string{"boat", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost", "10.96.0.1", "192.0.2.1", "127.0.0.1"} {
		if err := s.APIServer.Certificate().Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}

	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if again.CA.Hash() != s.CA.Hash() || !again.APIServer.Certificate().Leaf.Equal(s.APIServer.Certificate().Leaf) {
		t.Error("second open made new certificates")
	}
	if !samePublic(again.SAKey.Public(), s.SAKey.Public()) || len(again.SAPublic) != 1 {
		t.Error("second open has another service account key")
	}
}

func TestOpenReissues(t *testing.T) {
	cfg := testConfig(t)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	old := s.APIServer.Certificate().Leaf
	oldKubelet := s.KubeletClient.Certificate().Leaf

	cfg.Names = []string{"boat.example.org"}
	if s, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	now := s.APIServer.Certificate().Leaf
	if now.Equal(old) || now.VerifyHostname("boat.example.org") != nil {
		t.Error("a new name did not reissue the certificate")
	}
	if !s.KubeletClient.Certificate().Leaf.Equal(oldKubelet) {
		t.Error("a certificate without names was reissued")
	}

	if err := os.Remove(s.path("front-proxy-client.crt")); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(cfg); err != nil || s.FrontProxyClient.Certificate() == nil {
		t.Errorf("a missing certificate was not made: %v", err)
	}
	if err := os.WriteFile(s.path("ca.crt"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(cfg); err == nil {
		t.Error("a broken authority was accepted")
	}
}

// An authority that lost its certificate is not replaced.
func TestOpenKeepsAuthorities(t *testing.T) {
	for _, name := range []string{"ca", "etcd/ca", "front-proxy-ca", "kubelet-ca"} {
		cfg := testConfig(t)
		if _, err := Open(cfg); err != nil {
			t.Fatal(err)
		}
		cert := filepath.Join(cfg.Dir, name+".crt")
		kept, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(cert); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), cert+" is missing and its key") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.WriteFile(cert, kept, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(cfg); err != nil {
			t.Errorf("%s put back: %v", name, err)
		}
	}
}

func TestRunRenewsInPlace(t *testing.T) {
	cfg := testConfig(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		first := s.APIServer.Certificate().Leaf
		ctx := t.Context()
		go s.Run(ctx)
		time.Sleep(200 * 24 * time.Hour)
		synctest.Wait()
		if !s.APIServer.Certificate().Leaf.Equal(first) {
			t.Error("renewed too early")
		}
		time.Sleep(50 * 24 * time.Hour)
		synctest.Wait()
		second := s.APIServer.Certificate().Leaf
		if second.Equal(first) {
			t.Error("not renewed")
		}
		again, err := Open(cfg)
		if err != nil || !again.APIServer.Certificate().Leaf.Equal(second) {
			t.Errorf("the renewed certificate is not on disk: %v", err)
		}
	})
}

func TestHandshakeSeesReplacement(t *testing.T) {
	s, err := Open(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	shown := func() *x509.Certificate {
		a, b := net.Pipe()
		srv := tls.Server(a, ServerTLS(s.APIServer))
		go func() { srv.Handshake(); io.Copy(io.Discard, srv) }()
		c := tls.Client(b, ClientTLS(s.KubeletClient, s.CA.Pool(), "kubernetes.default.svc"))
		if err := c.Handshake(); err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	first := shown()
	files := map[string][]byte{}
	if err := s.issue(leaves[0], files); err != nil {
		t.Fatal(err)
	}
	if shown().Equal(first) {
		t.Error("the listener still shows the old certificate")
	}
}

func TestKubeconfig(t *testing.T) {
	s, err := Open(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "admin.conf")
	if err := s.EnsureKubeconfig(path, Admin, "https://192.0.2.1:6443", "sampan"); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := s.EnsureKubeconfig(path, Admin, "https://192.0.2.1:6443", "sampan"); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("a good kubeconfig was rewritten")
	}
	if err := s.EnsureKubeconfig(path, Admin, "https://192.0.2.2:6443", "sampan"); err != nil {
		t.Fatal(err)
	}
	rc, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil || rc.Host != "https://192.0.2.2:6443" {
		t.Fatalf("%v %v", rc, err)
	}
	certs, err := ParseCertificates(rc.CertData)
	if err != nil || certs[0].Subject.CommonName != "kubernetes-admin" || certs[0].Subject.Organization[0] != ClusterAdmins {
		t.Errorf("%v %v", certs, err)
	}
}

// A client certificate is kept while it is good, and made anew for another subject and another authority.
func TestEnsureClient(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pki", "client.pem")
	ensure := func(s *Store, node string) string {
		t.Helper()
		if err := s.EnsureClient(path, KubeletIdentity(node)); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.X509KeyPair(data, data)
		if err != nil || pair.Leaf.Subject.CommonName != "system:node:"+node || pair.Leaf.CheckSignatureFrom(s.CA.Cert) != nil {
			t.Fatalf("%s: %v %v", node, pair.Leaf.Subject, err)
		}
		return string(data)
	}
	s, err := Open(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	first := ensure(s, "n1")
	if ensure(s, "n1") != first {
		t.Error("a good certificate was replaced")
	}
	ensure(s, "n2")
	other, err := Open(testConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	ensure(other, "n2")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestBootstrapToken(t *testing.T) {
	tok := NewBootstrapToken()
	if back, err := ParseBootstrapToken(tok.String()); err != nil || back != tok {
		t.Errorf("%v %v", back, err)
	}
	for _, bad := range []string{"", "abcdef", "abcdef.0123456789abcde", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef\n"} {
		if _, err := ParseBootstrapToken(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func BenchmarkOpenNew(b *testing.B) {
	dir := b.TempDir()
	for i := 0; b.Loop(); i++ {
		cfg := testConfig(b)
		cfg.Dir = filepath.Join(dir, string(rune('a'+i%26)), "pki")
		if _, err := Open(cfg); err != nil {
			b.Fatal(err)
		}
		os.RemoveAll(cfg.Dir)
	}
}

// A store whose machine gets another address or name names it at once, in the certificate that is in use and on disk, and
// names what it named before.
func TestRename(t *testing.T) {
	cfg := testConfig(t)
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	before := s.APIServer.Certificate().Leaf
	if err := s.Rename(cfg.Names, cfg.IPs); err != nil || !s.APIServer.Certificate().Leaf.Equal(before) {
		t.Errorf("the same names made another certificate: %v", err)
	}
	client := s.KubeletClient.Certificate().Leaf
	if err := s.Rename([]string{"renamed"}, append(cfg.IPs, net.IPv4(198, 51, 100, 7))); err != nil {
		t.Fatal(err)
	}
	cfg.Names, cfg.IPs = []string{"renamed"}, append(cfg.IPs, net.IPv4(198, 51, 100, 7))
	again, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range []*x509.Certificate{s.APIServer.Certificate().Leaf, again.APIServer.Certificate().Leaf} {
		for _, name := range []string{"renamed", "198.51.100.7", "192.0.2.1", "boat", "10.96.0.1"} {
			if err := leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
	}
	if !again.APIServer.Certificate().Leaf.Equal(s.APIServer.Certificate().Leaf) || !s.KubeletClient.Certificate().Leaf.Equal(client) {
		t.Error("a certificate that lacked nothing was issued anew")
	}
}
