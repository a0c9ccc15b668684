package rbac

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ClusterRoleBindings is the kind ClusterRoleBinding.
func ClusterRoleBindings() *api.Kind {
	check := func(b *rbacv1.ClusterRoleBinding) field.ErrorList {
		return append(checkRoleRef(b.RoleRef, "ClusterRole"), checkSubjects(b.Subjects, false)...)
	}
	return &api.Kind{
		Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRoleBinding", Resource: "clusterrolebindings", Singular: "clusterrolebinding",
		New:     func() api.Object { return &rbacv1.ClusterRoleBinding{} },
		NewList: func() runtime.Object { return &rbacv1.ClusterRoleBindingList{} },

		Default:  api.On(func(b *rbacv1.ClusterRoleBinding) { defaultBinding(&b.RoleRef, b.Subjects) }),
		Validate: api.Check(check),
		ValidateUpdate: api.CheckChange(func(b, old *rbacv1.ClusterRoleBinding) field.ErrorList {
			return append(check(b), valid.Immutable(reference(b.RoleRef), reference(old.RoleRef), field.NewPath("roleRef"))...)
		}),
		ValidateName:   checkName,
		CreateOnUpdate: true,
		Unconditional:  true,
		Columns:        bindingColumns("clusterRoleBinding", roleRefDoc(rbacv1.ClusterRoleBinding{}.SwaggerDoc())),
		Row:            api.Cells(func(b *rbacv1.ClusterRoleBinding) []any { return bindingRow(b, b.RoleRef, b.Subjects) }),
	}
}
