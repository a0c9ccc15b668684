package match

import (
	"context"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/authz"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Authorizer shows the hub's authorizer to expressions, which ask it for the rights of whoever makes the request.
func Authorizer(z authz.Authorizer) authorizer.UnconditionalAuthorizer { return asker{z} }

type asker struct{ authz.Authorizer }

// Authorize implements authorizer.UnconditionalAuthorizer.
func (z asker) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	q := authz.Attributes{User: userOf(a.GetUser()), Verb: a.GetVerb()}
	if a.IsResourceRequest() {
		q.Group, q.Version, q.Resource, q.Subresource = a.GetAPIGroup(), a.GetAPIVersion(), a.GetResource(), a.GetSubresource()
		q.Namespace, q.Name = a.GetNamespace(), a.GetName()
		var err error
		if q.FieldSelector, q.LabelSelector, err = selectors(a); err != nil {
			return authorizer.DecisionNoOpinion, "", err
		}
	} else {
		q.Path = a.GetPath()
	}
	d, reason, err := z.Authorizer.Authorize(ctx, q)
	switch d {
	case authz.Allow:
		return authorizer.DecisionAllow, reason, err
	case authz.Deny:
		return authorizer.DecisionDeny, reason, err
	}
	return authorizer.DecisionNoOpinion, reason, err
}

// selectors writes out what an expression narrowed its question to.
func selectors(a authorizer.Attributes) (fields, labels string, err error) {
	byField, err := a.GetFieldSelector()
	if err != nil {
		return "", "", err
	}
	byLabel, err := a.GetLabelSelector()
	if err != nil {
		return "", "", err
	}
	var f, l []string
	for _, q := range byField {
		f = append(f, q.Field+string(q.Operator)+q.Value)
	}
	for i := range byLabel {
		l = append(l, byLabel[i].String())
	}
	return strings.Join(f, ","), strings.Join(l, ","), nil
}

func userOf(u user.Info) api.User {
	if u == nil {
		return api.User{}
	}
	return api.User{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra()}
}
