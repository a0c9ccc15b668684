package admit

import (
	"context"
	"errors"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authz"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// escalation keeps callers from granting by roles and bindings what they do not hold themselves, unless they may "escalate"
// the role or "bind" it.
type escalation struct {
	look  lookup
	authz authz.Authorizer
	rbac  *authz.RBAC
}

func (*escalation) Name() string { return "RBACEscalation" }

func (e *escalation) Validate(ctx context.Context, a *Attributes) error {
	if a.Kind.Group != rbacv1.GroupName || a.Subresource != "" || a.Operation != Create && a.Operation != Update || authz.Superuser(a.User) {
		return nil
	}
	obj, ok := a.Object.(api.Object)
	if !ok || a.Operation == Update && onlyCollectorFields(obj, a.Old) {
		return nil
	}
	switch o := obj.(type) {
	case *rbacv1.Role:
		return e.role(ctx, a, o.Rules, false)
	case *rbacv1.ClusterRole:
		old, _ := a.Old.(*rbacv1.ClusterRole)
		return e.role(ctx, a, o.Rules, aggregates(o) || aggregates(old))
	case *rbacv1.RoleBinding:
		return e.binding(ctx, a, o.RoleRef, a.Namespace)
	case *rbacv1.ClusterRoleBinding:
		return e.binding(ctx, a, o.RoleRef, "")
	}
	return nil
}

func aggregates(r *rbacv1.ClusterRole) bool {
	return r != nil && r.AggregationRule != nil && len(r.AggregationRule.ClusterRoleSelectors) > 0
}

func (e *escalation) role(ctx context.Context, a *Attributes, rules []rbacv1.PolicyRule, aggregates bool) error {
	if e.allowed(ctx, authz.Attributes{
		User: a.User, Verb: "escalate", Group: a.Kind.Group, Version: "*", Resource: a.Kind.Resource, Namespace: a.Namespace, Name: nameInURL(a),
	}) {
		return nil
	}
	if err := e.rbac.Covers(a.User, a.Namespace, rules); err != nil {
		return apierrors.NewForbidden(a.Kind.GR(), a.displayName(), err)
	}
	// An aggregated role can come to hold anything.
	if aggregates && e.rbac.CoversEverything(a.User, a.Namespace) != nil {
		return apierrors.NewForbidden(a.Kind.GR(), a.displayName(), errors.New("must have cluster-admin privileges to use the aggregationRule"))
	}
	return nil
}

func (e *escalation) binding(ctx context.Context, a *Attributes, ref rbacv1.RoleRef, namespace string) error {
	resource := ""
	switch ref.Kind {
	case "ClusterRole":
		resource = "clusterroles"
	case "Role":
		resource = "roles"
	}
	if resource != "" && e.allowed(ctx, authz.Attributes{
		User: a.User, Verb: "bind", Group: ref.APIGroup, Version: "*", Resource: resource, Namespace: namespace, Name: ref.Name,
	}) {
		return nil
	}
	rules, err := e.rulesOf(ctx, ref, namespace)
	if err != nil {
		return err
	}
	if err := e.rbac.Covers(a.User, namespace, rules); err != nil {
		return apierrors.NewForbidden(a.Kind.GR(), a.displayName(), err)
	}
	return nil
}

// rulesOf reads the bound role as it is stored now: it may have been written a moment ago, together with its binding.
func (e *escalation) rulesOf(ctx context.Context, ref rbacv1.RoleRef, namespace string) ([]rbacv1.PolicyRule, error) {
	switch ref.Kind {
	case "ClusterRole":
		r, err := client.Get[*rbacv1.ClusterRole](ctx, e.look.door, client.ClusterRoles, "", ref.Name)
		if err != nil {
			return nil, err
		}
		return r.Rules, nil
	case "Role":
		r, err := client.Get[*rbacv1.Role](ctx, e.look.door, client.Roles, namespace, ref.Name)
		if err != nil {
			return nil, err
		}
		return r.Rules, nil
	}
	return nil, fmt.Errorf("unsupported role reference kind: %q", ref.Kind)
}

func (e *escalation) allowed(ctx context.Context, q authz.Attributes) bool {
	d, _, err := e.authz.Authorize(ctx, q)
	return err == nil && d == authz.Allow
}

// nameInURL: a create is authorized without a name, as upstream does, so that a rule with resourceNames does not open it.
func nameInURL(a *Attributes) string {
	if a.Operation == Create {
		return ""
	}
	return a.Name
}

// onlyCollectorFields tells whether an update changes nothing but what the garbage collector may change of any object.
func onlyCollectorFields(obj api.Object, old any) bool {
	o, ok := old.(api.Object)
	if !ok {
		return false
	}
	same := obj.DeepCopyObject().(api.Object)
	same.SetOwnerReferences(o.GetOwnerReferences())
	same.SetFinalizers(o.GetFinalizers())
	same.SetManagedFields(o.GetManagedFields())
	same.GetObjectKind().SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
	if same.GetResourceVersion() == "" {
		same.SetResourceVersion(o.GetResourceVersion())
	}
	return equality.Semantic.DeepEqual(same, o)
}
