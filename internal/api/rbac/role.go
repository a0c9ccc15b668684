package rbac

import (
	"sampan.dev/internal/api"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Roles is the kind Role.
func Roles() *api.Kind {
	return &api.Kind{
		Group: rbacv1.GroupName, Version: "v1", Kind: "Role", Resource: "roles", Singular: "role", Namespaced: true,
		New:     func() api.Object { return &rbacv1.Role{} },
		NewList: func() runtime.Object { return &rbacv1.RoleList{} },

		Validate:       api.Check(func(r *rbacv1.Role) field.ErrorList { return checkRules(r.Rules, true) }),
		ValidateUpdate: api.CheckChange(func(r, _ *rbacv1.Role) field.ErrorList { return checkRules(r.Rules, true) }),
		ValidateName:   checkName,
		CreateOnUpdate: true,
		Unconditional:  true,
	}
}

// checkName lets roles and bindings have any name that can be one segment of a path ("system:node").
func checkName(name string, _ bool) []string { return path.IsValidPathSegmentName(name) }

func checkRules(rules []rbacv1.PolicyRule, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i, r := range rules {
		errs = append(errs, checkRule(r, namespaced, field.NewPath("rules").Index(i))...)
	}
	return errs
}

func checkRule(r rbacv1.PolicyRule, namespaced bool, path *field.Path) field.ErrorList {
	errs := checkCovered(r, namespaced, path)
	if len(r.Verbs) == 0 {
		errs = append(errs, field.Required(path.Child("verbs"), "")) // last, as upstream says what its markers ask for
	}
	return errs
}

// checkCovered checks what a rule is about.
func checkCovered(r rbacv1.PolicyRule, namespaced bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.NonResourceURLs) > 0 {
		at := path.Child("nonResourceURLs")
		if namespaced {
			errs = append(errs, field.Invalid(at, r.NonResourceURLs, "namespaced rules cannot apply to non-resource URLs"))
		}
		if len(r.APIGroups) > 0 || len(r.Resources) > 0 || len(r.ResourceNames) > 0 {
			errs = append(errs, field.Invalid(at, r.NonResourceURLs, "rules cannot apply to both regular resources and non-resource URLs"))
		}
		return errs
	}
	if len(r.APIGroups) == 0 {
		errs = append(errs, field.Required(path.Child("apiGroups"), "resource rules must supply at least one api group"))
	}
	if len(r.Resources) == 0 {
		errs = append(errs, field.Required(path.Child("resources"), "resource rules must supply at least one resource"))
	}
	return errs
}
