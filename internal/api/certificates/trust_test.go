package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/apitest"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// cert makes a certificate in PEM for a key, signed by itself.
func cert(t *testing.T, key *ecdsa.PrivateKey, change func(*x509.Certificate)) string {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Truncate(time.Second), NotAfter: time.Now().Truncate(time.Second).Add(2 * time.Hour)}
	change(c)
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestTrustBundle(t *testing.T) {
	key := newKey(t)
	ca := cert(t, key, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true })
	leaf := cert(t, key, func(*x509.Certificate) {})
	for _, c := range []struct{ name, signer, text, want string }{
		{"plain", "", "some text\n" + ca + "more", ``},
		{"x.io:s:n", "x.io/s", ca, ``},
		{"n", "x.io/s", ca, `metadata.name: Invalid value: "n": ClusterTrustBundle for signerName x.io/s must be named with prefix x.io:s:`},
		{"a:b", "", ca, `metadata.name: Invalid value: "a:b": ClusterTrustBundle without signer name must not have ":" in its name`},
		{"n", "", "", `spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be provided`},
		{"n", "", ca + ca, `spec.trustBundle: Invalid value: "<value omitted>": duplicate trust anchor (indices [0 1])`},
		{"n", "", ca + leaf, `spec.trustBundle: Invalid value: "<value omitted>": entry 1 does not have the CA bit set`},
		{"n", "", strings.ReplaceAll(ca, "CERTIFICATE", "THING"), `spec.trustBundle: Invalid value: "<value omitted>": entry 0 has bad block type: THING`},
	} {
		b := &bundle{ObjectMeta: metav1.ObjectMeta{Name: c.name}, Spec: certificatesv1.ClusterTrustBundleSpec{SignerName: c.signer, TrustBundle: c.text}}
		if got := apitest.Text(TrustBundles().Validate(b)); got != c.want {
			t.Errorf("%s %s: %s", c.name, c.signer, got)
		}
	}
	old := &bundle{Spec: certificatesv1.ClusterTrustBundleSpec{TrustBundle: "written by a laxer server"}}
	old.Name = "n"
	if got := apitest.Text(TrustBundles().ValidateUpdate(old, old)); got != "" {
		t.Error(got)
	}
}

func TestPodCertificateRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, key := PodRequests(), newKey(t)
		stub, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
		if err != nil {
			t.Fatal(err)
		}
		r := &podRequest{Spec: certificatesv1.PodCertificateRequestSpec{
			SignerName: "x.io/s", PodName: "p", PodUID: "1", ServiceAccountName: "a", ServiceAccountUID: "2", NodeName: "n", NodeUID: "3", StubPKCS10Request: stub,
		}}
		k.Default(r)
		if got := apitest.Text(k.Validate(r)); got != "" || *r.Spec.MaxExpirationSeconds != 86400 {
			t.Fatal(got, *r.Spec.MaxExpirationSeconds)
		}
		bad := r.DeepCopy()
		bad.Spec.StubPKCS10Request, bad.Spec.NodeUID, *bad.Spec.MaxExpirationSeconds = []byte("x"), "", 1
		if got := apitest.Text(k.Validate(bad)); got != "spec.nodeUID: Invalid value: \"\": must not be empty\nspec.maxExpirationSeconds: Invalid value: 1: must be in the range [3600, 7862400]\nspec.stubPKCS10Request: Invalid value: must be a valid PKCS#10 CSR" {
			t.Error(got)
		}
		checkAnswers(t, k, r, key)
	})
}

// checkAnswers goes through the ways in which a request can end.
func checkAnswers(t *testing.T, k *api.Kind, r *podRequest, key *ecdsa.PrivateKey) {
	sub := k.Sub("status")
	answer := func(kind string, change func(*certificatesv1.PodCertificateRequestStatus)) (string, *podRequest) {
		to := r.DeepCopy()
		to.Status.Conditions = []metav1.Condition{{Type: kind, Status: metav1.ConditionTrue, Reason: "R", LastTransitionTime: metav1.Now()}}
		change(&to.Status)
		return apitest.Text(sub.ValidateUpdate(to, r)), to
	}
	issued := func(key *ecdsa.PrivateKey) func(*certificatesv1.PodCertificateRequestStatus) {
		return func(s *certificatesv1.PodCertificateRequestStatus) {
			from, to, refresh := metav1.NewTime(time.Now().Truncate(time.Second)), metav1.NewTime(time.Now().Truncate(time.Second).Add(2*time.Hour)), metav1.NewTime(time.Now().Add(time.Hour))
			s.CertificateChain = cert(t, key, func(*x509.Certificate) {})
			s.NotBefore, s.NotAfter, s.BeginRefreshAt = &from, &to, &refresh
		}
	}
	for _, c := range []struct {
		name, kind, want string
		change           func(*certificatesv1.PodCertificateRequestStatus)
	}{
		{"denied", "Denied", ``, func(*certificatesv1.PodCertificateRequestStatus) {}},
		{"denied with a chain", "Denied", `status: Invalid value: non-condition status fields must be empty when denying or failing the PodCertificateRequest`,
			func(s *certificatesv1.PodCertificateRequestStatus) { s.CertificateChain = "x" }},
		{"unknown", "Later", `status.conditions.[0].type: Unsupported value: "Later": supported values: "Issued", "Denied", "Failed"`, func(*certificatesv1.PodCertificateRequestStatus) {}},
		{"no chain", "Issued", `status.certificateChain: Invalid value: "": issued certificate chain must contain at least one certificate`, func(*certificatesv1.PodCertificateRequestStatus) {}},
		{"issued", "Issued", ``, issued(key)},
		{"for another key", "Issued", `leaf certificate was not issued to the requested public key`, issued(newKey(t))},
	} {
		got, to := answer(c.kind, c.change)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.name, got)
		}
		if c.want != "" {
			continue
		}
		again := to.DeepCopy()
		again.Status.Conditions = nil
		if got := apitest.Text(sub.ValidateUpdate(again, to)); got != `status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed` {
			t.Errorf("%s, taken back: %s", c.name, got)
		}
	}
}
