package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"sampan.dev/internal/api/apitest"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func request(t *testing.T) *csr {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &csr{Spec: certificatesv1.CertificateSigningRequestSpec{
		Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		SignerName: "kubernetes.io/kube-apiserver-client", Usages: []certificatesv1.KeyUsage{"client auth"},
	}}
}

func condition(t certificatesv1.RequestConditionType) certificatesv1.CertificateSigningRequestCondition {
	return certificatesv1.CertificateSigningRequestCondition{Type: t, Status: corev1.ConditionTrue}
}

func TestValidate(t *testing.T) {
	good := request(t)
	for _, c := range []struct {
		name   string
		change func(*csr)
		want   string // a part of it
	}{
		{"fine", func(*csr) {}, ""},
		{"no pem", func(c *csr) { c.Spec.Request = []byte("x") }, "PEM block type must be CERTIFICATE REQUEST"},
		{"no usages", func(c *csr) { c.Spec.Usages = nil }, "spec.usages: Required value"},
		{"unknown usage", func(c *csr) { c.Spec.Usages = []certificatesv1.KeyUsage{"x"} }, `spec.usages[0]: Unsupported value: "x": supported values: "any", "cert sign", `},
		{"double usage", func(c *csr) { c.Spec.Usages = []certificatesv1.KeyUsage{"any", "any"} }, `spec.usages[1]: Duplicate value: "any"`},
		{"no signer", func(c *csr) { c.Spec.SignerName = "" }, "spec.signerName: Required value"},
		{"signer without path", func(c *csr) { c.Spec.SignerName = "a.b" }, "must be a fully qualified domain and path of the form 'example.com/signer-name'"},
		{"signer without dot", func(c *csr) { c.Spec.SignerName = "a/b" }, `spec.signerName: Invalid value: "a": should be a domain with at least two segments separated by dots`},
		{"bad signer domain", func(c *csr) { c.Spec.SignerName = "A.b/c" }, `validating label "A": a lowercase RFC 1123 label must consist of`},
		{"legacy signer", func(c *csr) { c.Spec.SignerName = legacySigner }, "the legacy signerName is not allowed via this API version"},
		{"short", func(c *csr) { n := int32(599); c.Spec.ExpirationSeconds = &n }, "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"},
		{"both", func(c *csr) {
			c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{condition("Approved"), condition("Denied")}
		}, "status.conditions: Invalid value: \"{conditions[{\\\"type\\\": \\\"Approved\\\"}], conditions[{\\\"type\\\": \\\"Denied\\\"}]}\": must specify at most one of: `conditions[{\"type\": \"Approved\"}]`, `conditions[{\"type\": \"Denied\"}]`"},
		{"bad certificate", func(c *csr) { c.Status.Certificate = []byte("x") }, `status.certificate: Invalid value: "<certificate data>": must contain at least one CERTIFICATE PEM block`},
	} {
		x := good.DeepCopy()
		c.change(x)
		got := apitest.Text(Requests().Validate(x))
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s", c.name, got)
		}
	}
}

func TestApproval(t *testing.T) {
	old := request(t)
	c := old.DeepCopy()
	c.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{condition("Approved")}
	c.Spec.SignerName = "x.y/z"

	approved := c.DeepCopy()
	sub := Requests().Sub("approval")
	sub.PrepareUpdate(approved, old)
	if got := apitest.Text(sub.ValidateUpdate(approved, old)); got != "" {
		t.Errorf("approval: %s", got)
	}
	if x := approved.Status.Conditions[0]; x.LastUpdateTime.IsZero() || x.LastTransitionTime.IsZero() || approved.Spec.SignerName != old.Spec.SignerName {
		t.Errorf("approval left %+v", approved)
	}

	byStatus := c.DeepCopy()
	sub = Requests().Sub("status")
	sub.PrepareUpdate(byStatus, old)
	if got := apitest.Text(sub.ValidateUpdate(byStatus, old)); got != `status.conditions: Forbidden: updates may not add a condition of type "Approved"` {
		t.Errorf("approval through status: %s", got)
	}

	// A status writer that sends back an older decision does not change it.
	stale := approved.DeepCopy()
	stale.Status.Conditions[0].LastUpdateTime = metav1.NewTime(time.Unix(1, 0))
	sub.PrepareUpdate(stale, approved)
	if got := apitest.Text(sub.ValidateUpdate(stale, approved)); got != "" {
		t.Errorf("stale decision: %s", got)
	}

	gone := approved.DeepCopy()
	gone.Status.Conditions = nil
	if got := apitest.Text(Requests().Sub("approval").ValidateUpdate(gone, approved)); got != `status.conditions: Forbidden: updates may not remove a condition of type "Approved"` {
		t.Errorf("removed decision: %s", got)
	}

	plain := c.DeepCopy()
	Requests().PrepareUpdate(plain, old)
	if len(plain.Status.Conditions) != 0 || plain.Spec.SignerName != old.Spec.SignerName {
		t.Errorf("a plain update changed %+v", plain)
	}
}

func TestRow(t *testing.T) {
	n := int32(3600)
	c := &csr{Spec: certificatesv1.CertificateSigningRequestSpec{Username: "u", ExpirationSeconds: &n}}
	for _, s := range []struct {
		conditions []certificatesv1.CertificateSigningRequestCondition
		cert, want string
	}{
		{nil, "", "Pending"},
		{[]certificatesv1.CertificateSigningRequestCondition{condition("Approved")}, "x", "Approved,Issued"},
		{[]certificatesv1.CertificateSigningRequestCondition{condition("Denied"), condition("Failed")}, "", "Denied,Failed"},
	} {
		c.Status.Conditions, c.Status.Certificate = s.conditions, []byte(s.cert)
		if got := fmt.Sprint(Requests().Row(c)[2:]...); got != fmt.Sprint("<none>", "u", "60m", s.want) {
			t.Errorf("got %s, want %s", got, s.want)
		}
	}
}
