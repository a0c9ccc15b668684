package authentication

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// MinTokenSeconds is the shortest life that may be asked for a token.
const MinTokenSeconds = 10 * 60

// DefaultTokenRequest gives a token an hour to live.
func DefaultTokenRequest(r *authenticationv1.TokenRequest) {
	if r.Spec.ExpirationSeconds == nil {
		hour := int64(60 * 60)
		r.Spec.ExpirationSeconds = &hour
	}
}

// ValidateTokenRequest checks a defaulted request.
func ValidateTokenRequest(r *authenticationv1.TokenRequest) field.ErrorList {
	var errs field.ErrorList
	at := field.NewPath("spec", "expirationSeconds")
	if n := r.Spec.ExpirationSeconds; n != nil {
		if *n < MinTokenSeconds {
			errs = append(errs, field.Invalid(at, *n, "may not specify a duration less than 10 minutes"))
		}
		if *n > 1<<32 {
			errs = append(errs, field.Invalid(at, *n, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	return append(errs, checkAttestations(&r.Spec)...)
}

// checkAttestations checks what a token for an admission webhook attests: the API group that is reviewed.
func checkAttestations(s *authenticationv1.TokenRequestSpec) field.ErrorList {
	path := field.NewPath("spec", "attestations")
	if !boundToWebhook(s.BoundObjectRef) {
		if len(s.Attestations) != 0 {
			return field.ErrorList{field.Invalid(path, s.Attestations, "attestations may only be specified with a webhook bound object reference")}
		}
		return nil
	}
	var errs field.ErrorList
	if len(s.Audiences) != 1 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "audiences"), s.Audiences, "must be length 1 when bound to a webhook config"))
	}
	if len(s.Attestations) != 1 {
		return append(errs, field.Invalid(path, s.Attestations, "webhook bound requests require exactly one admissionReviewAPIGroups attestation"))
	}
	for key, values := range s.Attestations {
		at := path.Key(key)
		switch {
		case key != authenticationv1.AttestationAdmissionReviewAPIGroups:
			errs = append(errs, field.NotSupported(at, key, []string{authenticationv1.AttestationAdmissionReviewAPIGroups}))
		case len(values) != 1:
			errs = append(errs, field.Invalid(at, values, "must specify a single value"))
		default:
			errs = append(errs, checkReviewGroup(values[0], at.Index(0))...)
		}
	}
	return errs
}

// checkReviewGroup refuses the empty name of the core group, which elsewhere would mean every group.
func checkReviewGroup(group string, path *field.Path) field.ErrorList {
	if group == "" {
		return field.ErrorList{field.Invalid(path, group, "may not be an empty string")}
	}
	var errs field.ErrorList
	if group != "*" {
		for _, msg := range validation.IsDNS1123Subdomain(group) {
			errs = append(errs, field.Invalid(path, group, "must specify a valid API Group: "+msg))
		}
	}
	return errs
}

func boundToWebhook(ref *authenticationv1.BoundObjectReference) bool {
	return ref != nil && ref.APIVersion == "admissionregistration.k8s.io/v1" &&
		(ref.Kind == "ValidatingWebhookConfiguration" || ref.Kind == "MutatingWebhookConfiguration")
}
