package authentication

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/yaml"
)

func TestTokenRequest(t *testing.T) {
	const hook = `boundObjectRef: {apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, name: w}, `
	for _, c := range []struct{ spec, want string }{
		{`{}`, ``},
		{`{expirationSeconds: 599}`, `spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 10 minutes`},
		{`{expirationSeconds: 4294967297}`, `spec.expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds`},
		{`{attestations: {a: [b]}}`, `attestations may only be specified with a webhook bound object reference`},
		{`{` + hook + `audiences: [x], attestations: {admissionReviewAPIGroups: [apps]}}`, ``},
		{`{` + hook + `audiences: [x]}`, `webhook bound requests require exactly one admissionReviewAPIGroups attestation`},
		{`{` + hook + `attestations: {admissionReviewAPIGroups: ["*"]}}`, `must be length 1 when bound to a webhook config`},
		{`{` + hook + `audiences: [x], attestations: {admissionReviewAPIGroups: [""]}}`, `spec.attestations[admissionReviewAPIGroups][0]: Invalid value: "": may not be an empty string`},
		{`{` + hook + `audiences: [x], attestations: {other: [a]}}`, `spec.attestations[other]: Unsupported value: "other": supported values: "admissionReviewAPIGroups"`},
	} {
		r := &authenticationv1.TokenRequest{}
		if err := yaml.UnmarshalStrict([]byte("spec: "+c.spec), r); err != nil {
			t.Fatal(err)
		}
		DefaultTokenRequest(r)
		got := ""
		if errs := ValidateTokenRequest(r); len(errs) > 0 {
			got = errs.ToAggregate().Error()
		}
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s", c.spec, got)
		}
	}
	r := &authenticationv1.TokenRequest{}
	if DefaultTokenRequest(r); *r.Spec.ExpirationSeconds != 3600 {
		t.Errorf("defaulted to %d", *r.Spec.ExpirationSeconds)
	}
}
