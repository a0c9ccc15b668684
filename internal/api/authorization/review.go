package authorization

import (
	"sampan.dev/internal/api"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// SubjectAccessReviews is the kind SubjectAccessReview: may that one do this?
func SubjectAccessReviews() *api.Kind {
	return review("SubjectAccessReview", "subjectaccessreview", func() api.Object { return &authorizationv1.SubjectAccessReview{} },
		api.Check(func(r *authorizationv1.SubjectAccessReview) field.ErrorList {
			return append(checkSubject(&r.Spec), checkEmptyMeta(r.ObjectMeta, "must be empty")...)
		}))
}

// SelfSubjectAccessReviews is the kind SelfSubjectAccessReview: may I do this?
func SelfSubjectAccessReviews() *api.Kind {
	return review("SelfSubjectAccessReview", "selfsubjectaccessreview", func() api.Object { return &authorizationv1.SelfSubjectAccessReview{} },
		api.Check(func(r *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
			errs := checkQuestion(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
			errs = append(errs, checkResource(r.Spec.ResourceAttributes)...)
			return append(errs, checkEmptyMeta(r.ObjectMeta, "must be empty")...)
		}))
}

// LocalSubjectAccessReviews is the kind LocalSubjectAccessReview: may that one do this in this namespace?
func LocalSubjectAccessReviews() *api.Kind {
	k := review("LocalSubjectAccessReview", "localsubjectaccessreview", func() api.Object { return &authorizationv1.LocalSubjectAccessReview{} },
		api.Check(validateLocal))
	k.Namespaced = true
	return k
}

// SelfSubjectRulesReviews is the kind SelfSubjectRulesReview: what may I do in this namespace?
func SelfSubjectRulesReviews() *api.Kind {
	return review("SelfSubjectRulesReview", "selfsubjectrulesreview", func() api.Object { return &authorizationv1.SelfSubjectRulesReview{} }, nil)
}

func review(kind, singular string, make func() api.Object, check func(api.Object) field.ErrorList) *api.Kind {
	return &api.Kind{
		Group: authorizationv1.GroupName, Version: "v1", Kind: kind, Resource: singular + "s", Singular: singular,
		Verbs: []string{"create"}, Virtual: true,
		New:      make,
		Validate: check,
		Refuse:   refuse,
	}
}

// refuse makes a 422 that names neither the kind nor the object, as upstream's does.
func refuse(_ string, errs field.ErrorList) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: authorizationv1.GroupName}, "", errs)
}
