package credential

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/pki"

	certv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// newHub runs a hub in memory until the test ends.
func newHub(t *testing.T) *hub.Hub {
	t.Helper()
	key, err := pki.NewAuthority("sa")
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Config{
		Kinds: all.Kinds(), Store: memory.New(), Log: slog.New(slog.DiscardHandler), Bootstrap: true,
		ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
		IssuerURL: "https://kubernetes.default.svc.cluster.local", SigningKey: key.Key,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	select {
	case <-h.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	return h
}

// sign approves and signs every request, as the control plane would; deny refuses them.
func sign(t *testing.T, h *hub.Hub, ca *pki.Authority, life time.Duration, deny bool) {
	signIf(t, h, ca, life, deny, func(*x509.CertificateRequest) bool { return true })
}

// signIf leaves the requests alone that may does not hold for.
func signIf(t *testing.T, h *hub.Hub, ca *pki.Authority, life time.Duration, deny bool, may func(*x509.CertificateRequest) bool) {
	requests := cache.New[*certv1.CertificateSigningRequest](h.Own(), client.CSRs, cache.Options{}, slog.New(slog.DiscardHandler))
	requests.Handle(cache.Handler[*certv1.CertificateSigningRequest]{Add: func(csr *certv1.CertificateSigningRequest) {
		go func() {
			csr := csr.DeepCopy()
			block, _ := pem.Decode(csr.Spec.Request)
			req, err := x509.ParseCertificateRequest(block.Bytes)
			if err != nil {
				t.Error(err)
				return
			}
			if !may(req) {
				return
			}
			cond := certv1.CertificateSigningRequestCondition{Type: certv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Test"}
			if deny {
				cond.Type, cond.Message = certv1.CertificateDenied, "no"
			}
			csr.Status.Conditions = append(csr.Status.Conditions, cond)
			ref := client.Ref{Resource: client.CSRs, Name: csr.Name, Subresource: "approval"}
			if _, err := h.Own().Update(t.Context(), ref, csr, metav1.UpdateOptions{}); err != nil {
				t.Error(err)
			}
			if deny {
				return
			}
			cert, err := ca.SignRequest(req, csr.Spec.Usages, life)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = client.MergePatch(t.Context(), h.Own(), client.Ref{Resource: client.CSRs, Name: csr.Name, Subresource: "status"},
				map[string]any{"status": map[string]any{"certificate": cert}})
			if err != nil {
				t.Error(err)
			}
		}()
	}})
	go requests.Run(t.Context())
}

func TestCredentialIsIssuedAndRenewed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		ca, err := pki.NewAuthority("ca")
		if err != nil {
			t.Fatal(err)
		}
		sign(t, h, ca, 10*time.Hour, false)
		door := func() client.Interface { return h.Door(api.Node("n1"), "kubelet") }
		log := slog.New(slog.DiscardHandler)
		c := Serving(dir, "n1", "n1", func() []net.IP { return []net.IP{net.IPv4(192, 0, 2, 7)} }, door, log)
		if c.Load() {
			t.Error("loaded what is not there")
		}
		go c.Run(t.Context())
		time.Sleep(time.Second)
		first := c.Certificate()
		if first == nil {
			t.Fatal("no certificate")
		}
		if err := first.Leaf.VerifyHostname("192.0.2.7"); err != nil || first.Leaf.Subject.CommonName != "system:node:n1" {
			t.Error(err, first.Leaf.Subject)
		}
		if info, err := os.Stat(c.File); err != nil || info.Mode() != 0o600 {
			t.Error(info.Mode(), err)
		}
		again := Serving(dir, "n1", "n1", nil, door, log)
		if !again.Load() || !again.Certificate().Leaf.Equal(first.Leaf) {
			t.Error("a restart forgets the certificate")
		}
		time.Sleep(6 * time.Hour)
		if c.Certificate() != first {
			t.Error("renewed too early")
		}
		time.Sleep(3*time.Hour + 30*time.Minute)
		if c.Certificate() == first {
			t.Error("not renewed")
		}
	})
}

// A serving certificate follows the node's addresses as soon as somebody says that they may have changed.
func TestCredentialFollowsAddresses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		ca, err := pki.NewAuthority("ca")
		if err != nil {
			t.Fatal(err)
		}
		sign(t, h, ca, 10*time.Hour, false)
		var ip atomic.Value
		ip.Store("192.0.2.7")
		c := Serving(dir, "n1", "n1", func() []net.IP { return []net.IP{net.ParseIP(ip.Load().(string))} },
			func() client.Interface { return h.Door(api.Node("n1"), "kubelet") }, slog.New(slog.DiscardHandler))
		go c.Run(t.Context())
		time.Sleep(time.Second)
		first := c.Certificate()
		c.Look()
		time.Sleep(time.Second)
		if c.Certificate() != first {
			t.Error("another certificate for the same addresses")
		}
		ip.Store("198.51.100.9")
		c.Look()
		time.Sleep(time.Second)
		if err := c.Certificate().Leaf.VerifyHostname("198.51.100.9"); err != nil {
			t.Error(err)
		}
	})
}

func TestCredentialIsDenied(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		sign(t, h, nil, time.Hour, true)
		c := Client(dir, "n1", func() client.Interface { return h.Door(api.Node("n1"), "kubelet") }, slog.New(slog.DiscardHandler))
		err := c.Obtain(t.Context())
		if err == nil || c.Certificate() != nil {
			t.Fatal("a denied certificate came")
		}
		t.Log(err)
	})
}

// A certificate whose addresses nobody vouches for is asked for by the node's name alone, so that the hub reaches the kubelet, and
// with addresses again later. One of an authority that signs no more is replaced at the start.
func TestServingCredentialDoesWithoutAddresses(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		former, err := pki.NewAuthority("ca")
		if err != nil {
			t.Fatal(err)
		}
		ca, err := pki.NewAuthority("kubelet-ca")
		if err != nil {
			t.Fatal(err)
		}
		// Whoever names addresses waits, until vouched for.
		vouched := false
		signIf(t, h, ca, 24*time.Hour, false, func(req *x509.CertificateRequest) bool { return vouched || len(req.IPAddresses) == 0 })
		old, err := former.Issue(pki.Request{CommonName: "system:node:n1", DNSNames: []string{"n1"}, IPs: []net.IP{net.IPv4(192, 0, 2, 7)}, Server: true, Life: 24 * time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		c := Serving(dir, "n1", "n1", func() []net.IP { return []net.IP{net.IPv4(192, 0, 2, 7)} }, func() client.Interface { return h.Door(api.Node("n1"), "kubelet") }, slog.New(slog.DiscardHandler))
		c.Former = former.Pool()
		c.current.Store(old)
		go c.Run(t.Context())
		time.Sleep(2 * time.Second)
		if c.Certificate() != old {
			t.Error("the certificate there was is not in use while another is asked for")
		}
		time.Sleep(3 * time.Second)
		bare := c.Certificate().Leaf
		if bare.CheckSignatureFrom(ca.Cert) != nil || bare.VerifyHostname("n1") != nil || len(bare.IPAddresses) > 0 {
			t.Fatalf("%v %v", bare.DNSNames, bare.IPAddresses)
		}
		time.Sleep(30 * time.Minute)
		if !c.Certificate().Leaf.Equal(bare) {
			t.Error("asked again at once")
		}
		vouched = true
		time.Sleep(time.Hour)
		if leaf := c.Certificate().Leaf; leaf.VerifyHostname("192.0.2.7") != nil || leaf.VerifyHostname("n1") != nil {
			t.Errorf("%v %v", leaf.DNSNames, leaf.IPAddresses)
		}
	})
	// A node that is called by its address has no other name.
	if c := Serving(dir, "192.0.2.7", "192.0.2.7", nil, nil, nil); len(c.DNSNames) > 0 {
		t.Error(c.DNSNames)
	}
}
