package authentication

import (
	"sampan.dev/internal/api"

	authenticationv1 "k8s.io/api/authentication/v1"
)

// TokenReviews is the kind TokenReview: whose token is this?
func TokenReviews() *api.Kind {
	return &api.Kind{
		Group: authenticationv1.GroupName, Version: "v1", Kind: "TokenReview", Resource: "tokenreviews", Singular: "tokenreview",
		Verbs: []string{"create"}, Virtual: true,
		New: func() api.Object { return &authenticationv1.TokenReview{} },
	}
}

// SelfSubjectReviews is the kind SelfSubjectReview: who am I?
func SelfSubjectReviews() *api.Kind {
	return &api.Kind{
		Group: authenticationv1.GroupName, Version: "v1", Kind: "SelfSubjectReview", Resource: "selfsubjectreviews", Singular: "selfsubjectreview",
		Verbs: []string{"create"}, Virtual: true,
		New: func() api.Object { return &authenticationv1.SelfSubjectReview{} },
	}
}
