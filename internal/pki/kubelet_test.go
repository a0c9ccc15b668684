package pki

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// shown tells what a client of the store's KubeletTLS says of a server that shows cert and that it dials as node.
func shown(s *Store, node string, cert *tls.Certificate) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go func() {
		if a, err := l.Accept(); err == nil {
			srv := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequestClientCert})
			_ = srv.Handshake()
			_, _ = io.Copy(io.Discard, srv)
			a.Close()
		}
	}()
	b, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer b.Close()
	cfg := s.KubeletTLS()
	cfg.ServerName = node
	return tls.Client(b, cfg).Handshake()
}

// A store of before there was an authority of kubelets gets one, and a certificate of its own for the hub to show them; what
// kubelets show goes on being believed until it ends, and nothing new of that kind is.
func TestAStoreWithoutKubeletAuthority(t *testing.T) {
	cfg := testConfig(t)
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		kubelet := func(ca *Authority, node string, names ...string) *tls.Certificate {
			c, err := ca.Issue(Request{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}, DNSNames: names, IPs: []net.IP{net.IPv4(192, 0, 2, 7)}, Server: true})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		// As an older version left it.
		for _, f := range []string{"kubelet-ca.crt", "kubelet-ca.key"} {
			if err := os.Remove(s.path(f)); err != nil {
				t.Fatal(err)
			}
		}
		admin, err := s.CA.Issue(Request{CommonName: KubeletClientName, Organization: []string{ClusterAdmins}, Client: true})
		if err != nil {
			t.Fatal(err)
		}
		cert, key, err := NewPair(admin).PEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFiles(cfg.Dir, map[string][]byte{"apiserver-kubelet-client.crt": cert, "apiserver-kubelet-client.key": key}); err != nil {
			t.Fatal(err)
		}
		old := kubelet(s.CA, "n", "n")
		time.Sleep(time.Hour)
		before := s.CA.Hash()
		if s, err = Open(cfg); err != nil {
			t.Fatal(err)
		}
		if s.CA.Hash() != before {
			t.Error("the cluster's authority is another")
		}
		if c := s.KubeletClient.Certificate().Leaf; len(c.Subject.Organization) != 0 || c.Subject.CommonName != KubeletClientName || c.CheckSignatureFrom(s.CA.Cert) != nil {
			t.Errorf("the hub is %s to kubelets", c.Subject)
		}
		plain, err := s.KubeletCA.Issue(Request{CommonName: "n", DNSNames: []string{"n"}, Server: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			what, node string
			cert       *tls.Certificate
			want       string
		}{
			{"an old certificate", "n", old, ""},
			{"a new one", "n", kubelet(s.KubeletCA, "n", "n"), ""},
			{"one of a node that is called by its address", "192.0.2.7", kubelet(s.KubeletCA, "192.0.2.7"), ""},
			{"an old certificate of another node", "m", old, "x509"},
			{"a new one of the cluster's authority", "n", kubelet(s.CA, "n", "n"), "not of the authority of kubelets"},
			{"another node's with this one's name", "n", kubelet(s.KubeletCA, "m", "m", "n"), "that of node m"},
			{"another node's at this one's address", "192.0.2.7", kubelet(s.KubeletCA, "m", "m"), "that of node m"},
			{"nobody's", "n", plain, "not a kubelet's"},
			{"the API server's", "boat", s.APIServer.Certificate(), "not a kubelet's"},
		} {
			if err := shown(s, c.node, c.cert); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v, want %q", c.what, err, c.want)
			}
		}
		// To a pod, which believes the cluster's authority, nothing of the kubelets' is anybody.
		if _, err := kubelet(s.KubeletCA, "n", "kubernetes.default.svc").Leaf.Verify(x509.VerifyOptions{Roots: s.CA.Pool()}); err == nil {
			t.Error("pods believe what kubelets show")
		}
		again, err := Open(cfg)
		if err != nil || again.KubeletCA.Hash() != s.KubeletCA.Hash() || !again.KubeletClient.Certificate().Leaf.Equal(s.KubeletClient.Certificate().Leaf) {
			t.Errorf("another start makes others: %v", err)
		}
	})
}
