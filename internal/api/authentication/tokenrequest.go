package authentication

import (
	authenticationv1 "k8s.io/api/authentication/v1"
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
	return errs
}
