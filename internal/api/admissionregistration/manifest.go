package admissionregistration

import (
	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// StaticSuffix is how the names of objects end that a server reads from its own files.
const StaticSuffix = staticSuffix

// CheckManifest holds an object that a server reads from its own files against the rules of its kind: all but the one that keeps
// such names from the API. obj is of one of the group's kinds.
func CheckManifest(obj api.Object) field.ErrorList {
	errs := validation.ValidateObjectMetaAccessor(obj, false, validation.NameIsDNSSubdomain, field.NewPath("metadata"))
	switch o := obj.(type) {
	case *validatingHooks:
		errs = append(errs, checkHooks(hooksOfValidating(o), nil)...)
	case *mutatingHooks:
		errs = append(errs, checkHooks(hooksOfMutating(o), nil)...)
	case *validatingPolicy:
		errs = append(errs, checkValidatingPolicy(o, false, known{})...)
	case *validatingBinding:
		errs = append(errs, checkValidatingBinding(o)...)
	case *mutatingPolicy:
		errs = append(errs, checkMutatingPolicy(o, false, known{})...)
	case *mutatingBinding:
		errs = append(errs, checkMutatingBinding(o)...)
	}
	return errs
}
