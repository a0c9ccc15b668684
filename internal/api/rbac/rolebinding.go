package rbac

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	rbacv1 "k8s.io/api/rbac/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// RoleBindings is the kind RoleBinding.
func RoleBindings() *api.Kind {
	check := func(b *rbacv1.RoleBinding) field.ErrorList {
		return append(checkRoleRef(b.RoleRef, "Role", "ClusterRole"), checkSubjects(b.Subjects, true)...)
	}
	return &api.Kind{
		Group: rbacv1.GroupName, Version: "v1", Kind: "RoleBinding", Resource: "rolebindings", Singular: "rolebinding", Namespaced: true,
		New:     func() api.Object { return &rbacv1.RoleBinding{} },
		NewList: func() runtime.Object { return &rbacv1.RoleBindingList{} },

		Default:  api.On(func(b *rbacv1.RoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) }),
		Validate: api.Check(check),
		ValidateUpdate: api.CheckChange(func(b, old *rbacv1.RoleBinding) field.ErrorList {
			return append(check(b), valid.Immutable(reference(b.RoleRef), reference(old.RoleRef), field.NewPath("roleRef"))...)
		}),
		ValidateName:   checkName,
		CreateOnUpdate: true,
		Unconditional:  true,
		Columns:        bindingColumns("roleBinding", roleRefDoc(rbacv1.RoleBinding{}.SwaggerDoc())),
		Row:            api.Cells(func(b *rbacv1.RoleBinding) []any { return bindingRow(b, b.RoleRef, b.Subjects) }),
	}
}

// What both kinds of bindings share.

func defaultBinding(ref *rbacv1.RoleRef, subjects []rbacv1.Subject) {
	if ref.APIGroup == "" {
		ref.APIGroup = rbacv1.GroupName
	}
	for i := range subjects {
		s := &subjects[i]
		if s.APIGroup == "" && (s.Kind == rbacv1.UserKind || s.Kind == rbacv1.GroupKind) {
			s.APIGroup = rbacv1.GroupName
		}
	}
}

func checkRoleRef(ref rbacv1.RoleRef, kinds ...string) field.ErrorList {
	path := field.NewPath("roleRef")
	errs := oneOf(ref.APIGroup, path.Child("apiGroup"), rbacv1.GroupName)
	errs = append(errs, oneOf(ref.Kind, path.Child("kind"), kinds...)...)
	if ref.Name == "" {
		return append(errs, field.Required(path.Child("name"), ""))
	}
	for _, msg := range checkName(ref.Name, false) {
		errs = append(errs, field.Invalid(path.Child("name"), ref.Name, msg))
	}
	return errs
}

// oneOf refuses other values than those allowed, naming them in the order given.
func oneOf(value string, path *field.Path, allowed ...string) field.ErrorList {
	if slices.Contains(allowed, value) {
		return nil
	}
	return field.ErrorList{field.NotSupported(path, value, allowed)}
}

func checkSubjects(subjects []rbacv1.Subject, namespaced bool) field.ErrorList {
	var errs field.ErrorList
	for i, s := range subjects {
		errs = append(errs, checkSubject(s, namespaced, field.NewPath("subjects").Index(i))...)
	}
	return errs
}

func checkSubject(s rbacv1.Subject, namespaced bool, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch s.Kind {
	case rbacv1.ServiceAccountKind:
		if s.Name != "" {
			for _, msg := range apivalidation.ValidateServiceAccountName(s.Name, false) {
				errs = append(errs, field.Invalid(path.Child("name"), s.Name, msg))
			}
		}
		errs = append(errs, oneOf(s.APIGroup, path.Child("apiGroup"), "")...)
		if !namespaced && s.Namespace == "" {
			errs = append(errs, field.Required(path.Child("namespace"), ""))
		}
	case rbacv1.UserKind, rbacv1.GroupKind:
		errs = append(errs, oneOf(s.APIGroup, path.Child("apiGroup"), rbacv1.GroupName)...)
	default:
		errs = append(errs, oneOf(s.Kind, path.Child("kind"), rbacv1.ServiceAccountKind, rbacv1.UserKind, rbacv1.GroupKind)...)
	}
	if s.Name == "" {
		errs = append(errs, field.Required(path.Child("name"), ""))
	}
	return errs
}

func bindingColumns(what, role string) []metav1.TableColumnDefinition {
	return []metav1.TableColumnDefinition{
		api.NameColumn(),
		api.Column("Role", "string", role),
		api.AgeColumn(),
		api.WideColumn("Users", "string", "Users in the "+what),
		api.WideColumn("Groups", "string", "Groups in the "+what),
		api.WideColumn("ServiceAccounts", "string", "ServiceAccounts in the "+what),
	}
}

func bindingRow(obj metav1.Object, ref rbacv1.RoleRef, subjects []rbacv1.Subject) []any {
	var users, groups, accounts []string
	for _, s := range subjects {
		switch s.Kind {
		case rbacv1.ServiceAccountKind:
			accounts = append(accounts, s.Namespace+"/"+s.Name)
		case rbacv1.UserKind:
			users = append(users, s.Name)
		case rbacv1.GroupKind:
			groups = append(groups, s.Name)
		}
	}
	return []any{
		obj.GetName(), fmt.Sprintf("%s/%s", ref.Kind, ref.Name), obj.GetCreationTimestamp(),
		strings.Join(users, ", "), strings.Join(groups, ", "), strings.Join(accounts, ", "),
	}
}

// reference is a RoleRef as upstream's messages show it: by the names of its fields in Go.
type reference struct{ APIGroup, Kind, Name string }

// roleRefDoc describes the column of the role; upstream's has it without the last sentence.
func roleRefDoc(doc map[string]string) string {
	return strings.TrimSuffix(doc["roleRef"], " This field is immutable.")
}
