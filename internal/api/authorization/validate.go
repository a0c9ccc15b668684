package authorization

import (
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validateLocal(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	errs := checkSubject(&r.Spec)
	m := r.ObjectMeta
	m.Namespace = ""
	errs = append(errs, checkEmptyMeta(m, "must be empty except for namespace")...)
	if a := r.Spec.ResourceAttributes; a != nil && a.Namespace != r.Namespace {
		errs = append(errs, field.Invalid(field.NewPath("spec.resourceAttributes.namespace"), a.Namespace, "must match metadata.namespace"))
	}
	if a := r.Spec.NonResourceAttributes; a != nil {
		errs = append(errs, field.Invalid(field.NewPath("spec.nonResourceAttributes"), shown(a), "disallowed on this kind of request"))
	}
	return errs
}

func checkSubject(s *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := checkQuestion(s.ResourceAttributes, s.NonResourceAttributes)
	if s.User == "" && len(s.Groups) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("spec", "user"), s.User, "at least one of user or group must be specified"))
	}
	return append(errs, checkResource(s.ResourceAttributes)...)
}

// checkQuestion sees to it that one thing is asked.
func checkQuestion(r *authorizationv1.ResourceAttributes, n *authorizationv1.NonResourceAttributes) field.ErrorList {
	if (r == nil) == (n == nil) {
		return field.ErrorList{field.Invalid(field.NewPath("spec"), shown(n), "exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	}
	return nil
}

// shown is a path question as upstream's messages show it: by the names of its fields in Go.
func shown(n *authorizationv1.NonResourceAttributes) any {
	return (*struct{ Path, Verb string })(n)
}

func checkEmptyMeta(m metav1.ObjectMeta, detail string) field.ErrorList {
	shown := m
	m.ManagedFields = nil
	if equality.Semantic.DeepEqual(metav1.ObjectMeta{}, m) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata"), shown, detail)}
}

// checkResource checks the selectors of a question about resources. Unknown operators are let through: a newer client may know
// more of them.
func checkResource(r *authorizationv1.ResourceAttributes) field.ErrorList {
	if r == nil {
		return nil
	}
	path := field.NewPath("spec.resourceAttributes")
	var errs field.ErrorList
	if s := r.FieldSelector; s != nil {
		at := path.Child("fieldSelector")
		errs = append(errs, checkSelector(s.RawSelector, len(s.Requirements), at)...)
		for i, q := range s.Requirements {
			errs = append(errs, validation.ValidateFieldSelectorRequirement(q,
				validation.FieldSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, at.Child("requirements").Index(i))...)
		}
	}
	if s := r.LabelSelector; s != nil {
		at := path.Child("labelSelector")
		errs = append(errs, checkSelector(s.RawSelector, len(s.Requirements), at)...)
		for i, q := range s.Requirements {
			errs = append(errs, validation.ValidateLabelSelectorRequirement(q,
				validation.LabelSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, at.Child("requirements").Index(i))...)
		}
	}
	return errs
}

func checkSelector(raw string, requirements int, path *field.Path) field.ErrorList {
	switch {
	case raw != "" && requirements > 0:
		return field.ErrorList{field.Invalid(path.Child("rawSelector"), raw, "may not specified at the same time as requirements")}
	case raw == "" && requirements == 0:
		return field.ErrorList{field.Required(path.Child("requirements"),
			fmt.Sprintf("when %s is specified, requirements or rawSelector is required", path))}
	}
	return nil
}
