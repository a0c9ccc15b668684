package authz

import (
	"context"

	"sampan.dev/internal/api"

	rbacv1 "k8s.io/api/rbac/v1"
)

// alwaysAllow lets everybody do everything.
type alwaysAllow struct{}

func (alwaysAllow) Authorize(context.Context, Attributes) (Decision, string, error) {
	return Allow, "", nil
}

func (alwaysAllow) rulesOf(api.User, string) ([]rbacv1.PolicyRule, bool, error) {
	all := []string{"*"}
	return []rbacv1.PolicyRule{{Verbs: all, APIGroups: all, Resources: all}, {Verbs: all, NonResourceURLs: all}}, false, nil
}

// alwaysDeny lets nobody do anything that nobody else allows.
type alwaysDeny struct{}

func (alwaysDeny) Authorize(context.Context, Attributes) (Decision, string, error) {
	return NoOpinion, "Everything is forbidden.", nil
}

func (alwaysDeny) rulesOf(api.User, string) ([]rbacv1.PolicyRule, bool, error) {
	return nil, false, nil
}
