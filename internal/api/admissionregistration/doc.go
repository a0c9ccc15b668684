// Package admissionregistration has the kinds of admissionregistration.k8s.io: which webhooks are asked about a write, and which
// policies in CEL it has to keep to. What they say is acted upon by internal/hub/admit.
//
// It owns no data and runs no goroutines. Rules, messages and their order are upstream's
// (pkg/apis/admissionregistration/validation); expressions are compiled when they are validated, and not kept.
package admissionregistration
