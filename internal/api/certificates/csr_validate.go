package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"sampan.dev/internal/api/valid"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// legacySigner is the signer of requests made through v1beta1 without one. It cannot be named in new requests.
const legacySigner = "kubernetes.io/legacy-unknown"

// usages are all that may be asked for, in the order of the alphabet.
func usages() []certificatesv1.KeyUsage {
	list := []certificatesv1.KeyUsage{
		certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageContentCommitment,
		certificatesv1.UsageKeyEncipherment, certificatesv1.UsageKeyAgreement, certificatesv1.UsageDataEncipherment,
		certificatesv1.UsageCertSign, certificatesv1.UsageCRLSign, certificatesv1.UsageEncipherOnly,
		certificatesv1.UsageDecipherOnly, certificatesv1.UsageAny, certificatesv1.UsageServerAuth,
		certificatesv1.UsageClientAuth, certificatesv1.UsageCodeSigning, certificatesv1.UsageEmailProtection,
		certificatesv1.UsageSMIME, certificatesv1.UsageIPsecEndSystem, certificatesv1.UsageIPsecTunnel,
		certificatesv1.UsageIPsecUser, certificatesv1.UsageTimestamping, certificatesv1.UsageOCSPSigning,
		certificatesv1.UsageMicrosoftSGC, certificatesv1.UsageNetscapeSGC,
	}
	slices.Sort(list)
	return list
}

// check checks a request; old is nil on create. What is wrong with old already is tolerated in c.
func check(c, old *csr) field.ErrorList {
	path := field.NewPath("spec")
	var errs field.ErrorList
	if err := checkRequest(c.Spec.Request); err != nil {
		errs = append(errs, field.Invalid(path.Child("request"), c.Spec.Request, err.Error()))
	}
	if len(c.Spec.Usages) == 0 {
		errs = append(errs, field.Required(path.Child("usages"), ""))
	}
	if old == nil || !equality.Semantic.DeepEqual(c.Spec.Usages, old.Spec.Usages) {
		errs = append(errs, checkUsages(c.Spec.Usages, path.Child("usages"))...)
	}
	switch {
	case c.Spec.SignerName == legacySigner && (old == nil || old.Spec.SignerName != legacySigner):
		errs = append(errs, field.Invalid(path.Child("signerName"), c.Spec.SignerName, "the legacy signerName is not allowed via this API version"))
	default:
		errs = append(errs, valid.SignerName(c.Spec.SignerName, path.Child("signerName"))...)
	}
	if s := c.Spec.ExpirationSeconds; s != nil && *s < 600 {
		errs = append(errs, field.Invalid(path.Child("expirationSeconds"), *s, "may not specify a duration less than 600 seconds (10 minutes)"))
	}
	errs = append(errs, checkConditions(c, old)...)
	if old != nil && (bytes.Equal(c.Status.Certificate, old.Status.Certificate) || checkCertificate(old.Status.Certificate) != nil) {
		return errs
	}
	if err := checkCertificate(c.Status.Certificate); err != nil {
		errs = append(errs, field.Invalid(field.NewPath("status", "certificate"), "<certificate data>", err.Error()))
	}
	return errs
}

func checkRequest(data []byte) error {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	r, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return err
	}
	return r.CheckSignature()
}

func checkCertificate(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	blocks := 0
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return fmt.Errorf("only CERTIFICATE PEM blocks are allowed, found %q", block.Type)
		}
		if len(block.Headers) != 0 {
			return errors.New("no PEM block headers are permitted")
		}
		certs, err := x509.ParseCertificates(block.Bytes)
		if err != nil {
			return err
		}
		if len(certs) == 0 {
			return errors.New("found CERTIFICATE PEM block containing 0 certificates")
		}
		blocks++
		data = rest
	}
	if blocks == 0 {
		return errors.New("must contain at least one CERTIFICATE PEM block")
	}
	return nil
}

func checkUsages(list []certificatesv1.KeyUsage, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	all := usages()
	for i, u := range list {
		if !slices.Contains(all, u) {
			errs = append(errs, field.NotSupported(path.Index(i), u, all))
		}
	}
	for i, u := range list {
		if slices.Contains(list[:i], u) {
			errs = append(errs, field.Duplicate(path.Index(i), u))
		}
	}
	return errs
}

// checkConditions tolerates empty, repeated and contradicting types where old has them already.
func checkConditions(c, old *csr) field.ErrorList {
	path := field.NewPath("status", "conditions")
	var was conditionFlaws
	if old != nil {
		was = flaws(old)
	}
	var errs field.ErrorList
	for i, x := range c.Status.Conditions {
		at := path.Index(i)
		if x.Type == "" && !was.empty {
			errs = append(errs, field.Required(at.Child("type"), ""))
		}
		errs = append(errs, checkConditionStatus(x, at.Child("status"))...)
		if !was.repeated && indices(c, x.Type)[0] != i {
			errs = append(errs, field.Duplicate(at.Child("type"), x.Type))
		}
	}
	return errs
}

// checkDecision refuses a request that is approved and denied, unless old was so already.
func checkDecision(c, old *csr) field.ErrorList {
	if !flaws(c).both || old != nil && flaws(old).both {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("status", "conditions"),
		`{conditions[{"type": "Approved"}], conditions[{"type": "Denied"}]}`,
		"must specify at most one of: `conditions[{\"type\": \"Approved\"}]`, `conditions[{\"type\": \"Denied\"}]`")}
}

func decides(t certificatesv1.RequestConditionType) bool {
	return t == certificatesv1.CertificateApproved || t == certificatesv1.CertificateDenied
}

func checkConditionStatus(x certificatesv1.CertificateSigningRequestCondition, path *field.Path) field.ErrorList {
	allowed := []corev1.ConditionStatus{corev1.ConditionFalse, corev1.ConditionTrue, corev1.ConditionUnknown}
	if decides(x.Type) || x.Type == certificatesv1.CertificateFailed {
		allowed = []corev1.ConditionStatus{corev1.ConditionTrue}
	}
	if x.Status == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if !slices.Contains(allowed, x.Status) {
		return field.ErrorList{field.NotSupported(path, x.Status, allowed)}
	}
	return nil
}

type conditionFlaws struct{ empty, repeated, both bool }

func flaws(c *csr) conditionFlaws {
	var f conditionFlaws
	for i, x := range c.Status.Conditions {
		f.empty = f.empty || x.Type == ""
		f.repeated = f.repeated || indices(c, x.Type)[0] != i
	}
	f.both = len(indices(c, certificatesv1.CertificateApproved)) > 0 && len(indices(c, certificatesv1.CertificateDenied)) > 0
	return f
}

// checkChange checks an update: decide lets it approve or deny, issue lets it set the certificate.
func checkChange(c, old *csr, decide, issue bool) field.ErrorList {
	errs := check(c, old)
	path := field.NewPath("status", "conditions")
	for _, t := range []certificatesv1.RequestConditionType{
		certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed,
	} {
		was, is := conditions(old, t), conditions(c, t)
		switch {
		case len(is) < len(was):
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not remove a condition of type %q", t)))
		case decide || !decides(t):
		case len(is) > len(was):
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not add a condition of type %q", t)))
		case !equality.Semantic.DeepEqual(was, is):
			errs = append(errs, field.Forbidden(path, fmt.Sprintf("updates may not modify a condition of type %q", t)))
		}
	}
	if !bytes.Equal(c.Status.Certificate, old.Status.Certificate) {
		at := field.NewPath("status", "certificate")
		if !issue {
			errs = append(errs, field.Forbidden(at, "updates may not set certificate content"))
		} else if len(old.Status.Certificate) > 0 {
			errs = append(errs, field.Forbidden(at, "updates may not modify existing certificate content"))
		}
	}
	return append(errs, checkDecision(c, old)...)
}

func conditions(c *csr, t certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var out []certificatesv1.CertificateSigningRequestCondition
	for _, i := range indices(c, t) {
		out = append(out, c.Status.Conditions[i])
	}
	return out
}
