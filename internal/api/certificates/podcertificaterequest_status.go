package certificates

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"sampan.dev/internal/api/valid"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	statusPath  = field.NewPath("status")
	chainPath   = statusPath.Child("certificateChain")
	beforePath  = statusPath.Child("notBefore")
	afterPath   = statusPath.Child("notAfter")
	refreshPath = statusPath.Child("beginRefreshAt")
)

const (
	longestChain = 100 << 10
	refreshRoom  = 10 * time.Minute // between a refresh and either end of a certificate's life
	mostSkew     = 5 * time.Minute  // between a signer's clock and ours
)

// podRequestStatus checks a signer's answer. There is one, and it stays: issued, denied or failed.
func podRequestStatus(r, old *podRequest) field.ErrorList {
	errs := valid.KubeFinalizers(r)
	if len(errs) > 0 {
		return errs
	}
	errs = append(podRequestConditions(r.Status.Conditions), metavalidation.ValidateConditions(r.Status.Conditions, statusPath.Child("conditions"))...)
	if len(errs) > 0 {
		return errs
	}
	same := func(want certificatesv1.PodCertificateRequestStatus, detail string) field.ErrorList {
		if equality.Semantic.DeepEqual(r.Status, want) {
			return nil
		}
		return valid.Invalid(statusPath, field.OmitValueType{}, detail)
	}
	switch {
	case answer(old) != "":
		return same(old.Status, "immutable after PodCertificateRequest is issued, denied, or failed")
	case answer(r) == certificatesv1.PodCertificateRequestConditionTypeIssued:
		return issuedErrors(r, old)
	case answer(r) != "":
		return same(certificatesv1.PodCertificateRequestStatus{Conditions: r.Status.Conditions}, "non-condition status fields must be empty when denying or failing the PodCertificateRequest")
	}
	return same(old.Status, `status is immutable unless transitioning to "Issued", "Denied", or "Failed"`)
}

// answer is the type of the condition that says how a request ended; "" while it is open.
func answer(r *podRequest) string {
	for _, c := range r.Status.Conditions {
		if isAnswer(c.Type) && c.Status == metav1.ConditionTrue {
			return c.Type
		}
	}
	return ""
}

func isAnswer(t string) bool {
	return t == certificatesv1.PodCertificateRequestConditionTypeIssued || t == certificatesv1.PodCertificateRequestConditionTypeDenied ||
		t == certificatesv1.PodCertificateRequestConditionTypeFailed
}

func podRequestConditions(list []metav1.Condition) field.ErrorList {
	var errs field.ErrorList
	known := 0
	for i, c := range list {
		at := field.NewPath("status", "conditions", fmt.Sprintf("[%d]", i)) // upstream's path, with a dot before the index
		if !isAnswer(c.Type) {
			errs = append(errs, field.NotSupported(at.Child("type"), c.Type, []string{
				certificatesv1.PodCertificateRequestConditionTypeIssued, certificatesv1.PodCertificateRequestConditionTypeDenied, certificatesv1.PodCertificateRequestConditionTypeFailed,
			}))
			continue
		}
		if known++; known > 1 {
			errs = append(errs, field.Invalid(at.Child("type"), c.Type, `There may be at most one condition with type "Issued", "Denied", or "Failed"`))
		}
		if c.Status != metav1.ConditionTrue {
			errs = append(errs, field.NotSupported(at.Child("status"), c.Status, []metav1.ConditionStatus{metav1.ConditionTrue}))
		}
	}
	return errs
}

// issuedErrors checks a certificate that has been issued: it is for the key that was asked for, lives as long as was asked for at
// most, and the times beside it are its own.
func issuedErrors(r, old *podRequest) field.ErrorList {
	chain := r.Status.CertificateChain
	bad := func(detail string) field.ErrorList { return valid.Invalid(chainPath, chain, detail) }
	if len(chain) > longestChain {
		return field.ErrorList{field.TooLong(chainPath, chain, longestChain)}
	}
	block, rest := pem.Decode([]byte(chain))
	if block == nil {
		return bad("issued certificate chain must contain at least one certificate")
	}
	if block.Type != "CERTIFICATE" {
		return bad("issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return bad("leaf certificate does not parse as valid X.509")
	}
	errs := leafNames(leaf)
	req, err := x509.ParseCertificateRequest(old.Spec.StubPKCS10Request)
	if err != nil {
		return append(errs, field.Invalid(stubPath, field.OmitValueType{}, "must be a valid PKCS#10 CSR"))
	}
	if k, ok := req.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); ok && !k.Equal(leaf.PublicKey) {
		return append(errs, bad("leaf certificate was not issued to the requested public key")...)
	}
	for _, t := range []struct {
		time   *metav1.Time
		path   *field.Path
		detail string
	}{
		{r.Status.NotBefore, beforePath, "must be present and consistent with the issued certificate"},
		{r.Status.NotAfter, afterPath, "must be present and consistent with the issued certificate"},
		{r.Status.BeginRefreshAt, refreshPath, "must be present and in the range [notbefore+10min, notafter-10min]"},
	} {
		if t.time == nil {
			errs = append(errs, field.Required(t.path, t.detail))
		}
	}
	if len(errs) > 0 {
		return errs
	}
	if errs := leafTimes(r, leaf); len(errs) > 0 {
		return errs
	}
	return intermediates(rest, bad)
}

func leafNames(leaf *x509.Certificate) field.ErrorList {
	var errs field.ErrorList
	for _, n := range leaf.DNSNames {
		if n == "" {
			errs = append(errs, field.Invalid(chainPath, n, "leaf certificate should not contain empty DNSName"))
		}
		if strings.Contains(n, "..") {
			errs = append(errs, field.Invalid(chainPath, n, "leaf certificate's DNSName should not contain '..'"))
		}
		if strings.HasPrefix(n, ".") || strings.HasSuffix(n, ".") {
			errs = append(errs, field.Invalid(chainPath, n, "leaf certificate's DNSName should not start or end with '.'"))
		}
	}
	for _, a := range leaf.EmailAddresses {
		if _, err := mail.ParseAddress(a); err != nil {
			errs = append(errs, field.Invalid(chainPath, a, "leaf certificate should not contain invalid EmailAddress"))
		}
	}
	return errs
}

// leafTimes checks the times of an answer, all of which are set, against those of its certificate.
func leafTimes(r *podRequest, leaf *x509.Certificate) field.ErrorList {
	s, lifetime := &r.Status, leaf.NotAfter.Sub(leaf.NotBefore)
	switch {
	case !s.NotBefore.Time.Equal(leaf.NotBefore):
		return valid.Invalid(beforePath, s.NotBefore.Time, "must be set to the NotBefore time encoded in the leaf certificate")
	case time.Since(s.NotBefore.Time).Abs() >= mostSkew:
		return valid.Invalid(beforePath, s.NotBefore.Time, "must be set to within 5 minutes of kube-apiserver's current time")
	case !s.NotAfter.Time.Equal(leaf.NotAfter):
		return valid.Invalid(afterPath, s.NotAfter.Time, "must be set to the NotAfter time encoded in the leaf certificate")
	case lifetime < time.Hour:
		return valid.Invalid(chainPath, lifetime, "leaf certificate lifetime must be >= 1 hour")
	case lifetime > time.Duration(*r.Spec.MaxExpirationSeconds)*time.Second:
		return valid.Invalid(chainPath, lifetime, fmt.Sprintf("leaf certificate lifetime must be <= spec.maxExpirationSeconds (%v)", *r.Spec.MaxExpirationSeconds))
	case s.BeginRefreshAt.Time.Before(s.NotBefore.Add(refreshRoom)):
		return valid.Invalid(refreshPath, s.BeginRefreshAt.Time, "must be at least 10 minutes after status.notBefore")
	case s.BeginRefreshAt.Time.After(s.NotAfter.Add(-refreshRoom)):
		return valid.Invalid(refreshPath, s.BeginRefreshAt.Time, "must be at least 10 minutes before status.notAfter")
	}
	return nil
}

// intermediates reads the rest of a chain. That it is a chain cannot be told without its root.
func intermediates(rest []byte, bad func(string) field.ErrorList) field.ErrorList {
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil
		}
		if block.Type != "CERTIFICATE" {
			return bad("issued certificate chain must consist entirely of CERTFICATE PEM blocks")
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return bad("intermediate certificate does not parse as valid X.509")
		}
	}
}
