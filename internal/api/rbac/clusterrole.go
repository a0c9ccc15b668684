package rbac

import (
	"sampan.dev/internal/api"
	"sampan.dev/internal/api/valid"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ClusterRoles is the kind ClusterRole.
func ClusterRoles() *api.Kind {
	return &api.Kind{
		Group: rbacv1.GroupName, Version: "v1", Kind: "ClusterRole", Resource: "clusterroles", Singular: "clusterrole",
		New:     func() api.Object { return &rbacv1.ClusterRole{} },
		NewList: func() runtime.Object { return &rbacv1.ClusterRoleList{} },

		Validate: api.Check(func(r *rbacv1.ClusterRole) field.ErrorList {
			return append(checkRules(r.Rules, false), checkAggregation(r.AggregationRule)...)
		}),
		ValidateUpdate: api.CheckChange(func(r, old *rbacv1.ClusterRole) field.ErrorList {
			return append(checkRules(r.Rules, false), valid.Ratchet(checkAggregation(r.AggregationRule), func() field.ErrorList {
				return checkAggregation(old.AggregationRule)
			})...)
		}),
		ValidateName:   checkName,
		CreateOnUpdate: true,
		Unconditional:  true,
	}
}

func checkAggregation(rule *rbacv1.AggregationRule) field.ErrorList {
	if rule == nil {
		return nil
	}
	path := field.NewPath("aggregationRule", "clusterRoleSelectors")
	if len(rule.ClusterRoleSelectors) == 0 {
		return field.ErrorList{field.Required(path, "at least one clusterRoleSelector required if aggregationRule is non-nil")}
	}
	var errs field.ErrorList
	for i := range rule.ClusterRoleSelectors {
		s := &rule.ClusterRoleSelectors[i]
		errs = append(errs, valid.LabelSelector(s, path.Index(i))...)
		if _, err := metav1.LabelSelectorAsSelector(s); err != nil {
			errs = append(errs, field.Invalid(path.Index(i), s, "invalid label selector."))
		}
	}
	return errs
}
