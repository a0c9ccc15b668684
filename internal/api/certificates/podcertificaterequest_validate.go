package certificates

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sampan.dev/internal/api/valid"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of a request, in bytes and seconds.
const (
	longestKeyPart      = 10 << 10
	longestUID          = 128
	leastLifetime       = 60 * 60
	mostLifetime        = 91 * 24 * 60 * 60
	mostLifetimeOfKubes = 24 * 60 * 60 // of Kubernetes' own signers
)

var stubPath = field.NewPath("spec", "stubPKCS10Request")

func podRequestErrors(r *podRequest) field.ErrorList {
	s, spec := &r.Spec, field.NewPath("spec")
	errs := append(valid.KubeFinalizers(r), valid.SignerName(s.SignerName, spec.Child("signerName"))...)
	errs = append(errs, userAnnotations(s.UnverifiedUserAnnotations, spec.Child("unverifiedUserAnnotations"))...)
	name := func(at, value string, msgs []string) {
		for _, msg := range msgs {
			errs = append(errs, field.Invalid(spec.Child(at), value, msg))
		}
	}
	uid := func(at, value string) {
		if value == "" {
			errs = append(errs, field.Invalid(spec.Child(at), value, "must not be empty"))
		}
		if len(value) > longestUID {
			errs = append(errs, field.TooLong(spec.Child(at), value, longestUID))
		}
	}
	name("podName", s.PodName, apivalidation.NameIsDNSSubdomain(s.PodName, false))
	uid("podUID", string(s.PodUID))
	name("serviceAccountName", s.ServiceAccountName, apivalidation.ValidateServiceAccountName(s.ServiceAccountName, false))
	uid("serviceAccountUID", string(s.ServiceAccountUID))
	name("nodeName", string(s.NodeName), apivalidation.NameIsDNSSubdomain(string(s.NodeName), false))
	uid("nodeUID", string(s.NodeUID))
	if s.MaxExpirationSeconds == nil {
		return append(errs, field.Required(spec.Child("maxExpirationSeconds"), "must be set"))
	}
	most := int32(mostLifetime)
	if host, _, _ := strings.Cut(s.SignerName, "/"); host == "kubernetes.io" || strings.HasSuffix(host, ".kubernetes.io") {
		most = mostLifetimeOfKubes
	}
	if n := *s.MaxExpirationSeconds; n < leastLifetime || n > most {
		errs = append(errs, field.Invalid(spec.Child("maxExpirationSeconds"), n, fmt.Sprintf("must be in the range [%d, %d]", leastLifetime, most)))
	}
	if len(s.StubPKCS10Request) == 0 { // older versions have another way to bring a key
		return append(errs, field.Invalid(spec, field.OmitValueType{}, "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"))
	}
	return append(errs, stubErrors(s.StubPKCS10Request)...)
}

func userAnnotations(list map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(list)) {
		errs = append(errs, validation.IsDomainPrefixedKey(path, strings.ToLower(key))...)
	}
	if apivalidation.ValidateAnnotationsSize(list) != nil {
		errs = append(errs, field.TooLong(path, "", apivalidation.TotalAnnotationSizeLimitB))
	}
	return errs
}

// stubErrors checks a certificate request of which only the key and the signature count.
func stubErrors(der []byte) field.ErrorList {
	if len(der) > longestKeyPart {
		return field.ErrorList{field.TooLong(stubPath, der, longestKeyPart)}
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return valid.Invalid(stubPath, field.OmitValueType{}, "must be a valid PKCS#10 CSR")
	}
	if errs := keyKind(req.PublicKey); len(errs) > 0 {
		return errs
	}
	if req.CheckSignature() != nil {
		return valid.Invalid(stubPath, field.OmitValueType{}, "invalid signature")
	}
	return nil
}

// keyKind refuses keys that are weak or unknown.
func keyKind(key any) field.ErrorList {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve != elliptic.P256() && k.Curve != elliptic.P384() && k.Curve != elliptic.P521() {
			return valid.Invalid(stubPath, "curve "+k.Curve.Params().Name, "elliptic public keys must use curve P256, P384, or P521")
		}
		return nil
	case *rsa.PublicKey:
		if bits := k.Size() * 8; bits != 3072 && bits != 4096 {
			return valid.Invalid(stubPath, fmt.Sprintf("%d-bit modulus", bits), "RSA keys must have modulus size 3072 or 4096")
		}
		return nil
	}
	return valid.Invalid(stubPath, field.OmitValueType{}, "unknown public key type; supported types are Ed25519, ECDSA, and RSA")
}
