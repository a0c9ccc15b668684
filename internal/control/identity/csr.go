package identity

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

type csr = certificatesv1.CertificateSigningRequest

// LegacyUnknownSigner signs what the first version of the API did: whatever is approved.
const LegacyUnknownSigner = "kubernetes.io/legacy-unknown"

func parseRequest(data []byte) (*x509.CertificateRequest, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	return x509.ParseCertificateRequest(block.Bytes)
}

// has tells whether the request has a condition of type t; one without a status counts, as it did before there was one.
func has(c *csr, t certificatesv1.RequestConditionType) bool {
	return slices.ContainsFunc(c.Status.Conditions, func(x certificatesv1.CertificateSigningRequestCondition) bool {
		return x.Type == t && (x.Status == corev1.ConditionTrue || x.Status == "")
	})
}

func approved(c *csr) bool {
	return has(c, certificatesv1.CertificateApproved) && !has(c, certificatesv1.CertificateDenied)
}

// checkNode is what client and serving certificates of kubelets have in common.
func checkNode(req *x509.CertificateRequest) error {
	switch {
	case !slices.Equal(req.Subject.Organization, []string{"system:nodes"}):
		return errors.New("subject organization is not system:nodes")
	case len(req.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed")
	case len(req.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	case !strings.HasPrefix(req.Subject.CommonName, "system:node:"):
		return errors.New("subject common name does not begin with system:node:")
	case len(req.Subject.Names) != 2:
		// The subject is signed as it is written. Of two common names some read the first and some the last, and other
		// attributes may mean something too (a UID does).
		return errors.New("subject has attributes other than one organization and one common name")
	}
	return nil
}

// checkKubeletClient demands the exact shape of a kubelet's client certificate.
func checkKubeletClient(req *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	switch {
	case len(req.DNSNames) > 0:
		return errors.New("DNS subjectAltNames are not allowed")
	case len(req.IPAddresses) > 0:
		return errors.New("IP subjectAltNames are not allowed")
	}
	if err := checkNode(req); err != nil {
		return err
	}
	return checkUsages(usages, certificatesv1.UsageClientAuth)
}

// checkKubeletServing demands that of its serving certificate.
func checkKubeletServing(req *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	if len(req.DNSNames) == 0 && len(req.IPAddresses) == 0 {
		return errors.New("DNS or IP subjectAltName is required")
	}
	if err := checkNode(req); err != nil {
		return err
	}
	return checkUsages(usages, certificatesv1.UsageServerAuth)
}

// checkUsages allows signatures and purpose, with or without key encipherment (RSA).
func checkUsages(usages []certificatesv1.KeyUsage, purpose certificatesv1.KeyUsage) error {
	got := slices.Clone(usages)
	slices.Sort(got)
	got = slices.Compact(got)
	all := []certificatesv1.KeyUsage{purpose, certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment}
	slices.Sort(all)
	few := slices.DeleteFunc(slices.Clone(all), func(u certificatesv1.KeyUsage) bool { return u == certificatesv1.UsageKeyEncipherment })
	if !slices.Equal(got, all) && !slices.Equal(got, few) {
		return fmt.Errorf("usages did not match %v", all)
	}
	return nil
}

func checkAPIServerClient(_ *x509.CertificateRequest, usages []certificatesv1.KeyUsage) error {
	for _, u := range usages {
		switch u {
		case certificatesv1.UsageDigitalSignature, certificatesv1.UsageKeyEncipherment, certificatesv1.UsageClientAuth:
		default:
			return fmt.Errorf("invalid usage for client certificate: %s", u)
		}
	}
	if !slices.Contains(usages, certificatesv1.UsageClientAuth) {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}
