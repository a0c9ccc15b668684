package review

import (
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/verb"
)

// Config is what the answers are made from.
type Config struct {
	Authorizer authz.Authorizer
	Rules      *authz.Chain // for SelfSubjectRulesReview
	Tokens     *authn.Tokens
	Issuer     *authn.Issuer
	Door       client.Reader // the hub's own
	// MaxTokenSeconds bounds the life of service account tokens; zero does not.
	MaxTokenSeconds int64
	// NoExtension ends a pod's token after the hour it asked for, instead of a year (--service-account-extend-token-expiration=false).
	NoExtension bool
}

// Handlers lists them by verb.HandlerKey.
func Handlers(cfg Config) map[string]verb.Handler {
	z := &access{cfg.Authorizer, cfg.Rules}
	t := &tokens{cfg}
	return map[string]verb.Handler{
		"tokenreviews.authentication.k8s.io":             t.review,
		"selfsubjectreviews.authentication.k8s.io":       selfSubject,
		"subjectaccessreviews.authorization.k8s.io":      z.subject,
		"selfsubjectaccessreviews.authorization.k8s.io":  z.self,
		"localsubjectaccessreviews.authorization.k8s.io": z.local,
		"selfsubjectrulesreviews.authorization.k8s.io":   z.rules,
		"serviceaccounts/token":                          t.request,
	}
}
