package policy

import (
	"context"
	"fmt"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/authz"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Parameters holds the authors of policies and bindings to their own rights: the API server would otherwise read parameters for them
// that they may not read, and show what they say. What it refuses is refused as the kind's own validation would.
type Parameters struct{ cfg Config }

var _ admit.Validator = (*Parameters)(nil)

// Name implements admit.Plugin.
func (*Parameters) Name() string { return "PolicyParameters" }

// Validate implements admit.Validator.
func (p *Parameters) Validate(ctx context.Context, a *admit.Attributes) error {
	if a.Kind.Group != admissionv1.GroupName || a.Subresource != "" || a.Operation != admit.Create && a.Operation != admit.Update || authz.Superuser(a.User) {
		return nil
	}
	var err error
	path := field.NewPath("spec", "paramRef")
	switch o := a.Object.(type) {
	case *admissionv1.ValidatingAdmissionPolicy:
		old, _ := a.Old.(*admissionv1.ValidatingAdmissionPolicy)
		if path = field.NewPath("spec", "paramKind"); old == nil || !equality.Semantic.DeepEqual(old.Spec.ParamKind, o.Spec.ParamKind) {
			err = p.policy(ctx, a, o.Spec.ParamKind)
		}
	case *admissionv1.MutatingAdmissionPolicy:
		old, _ := a.Old.(*admissionv1.MutatingAdmissionPolicy)
		if path = field.NewPath("spec", "paramKind"); old == nil || !equality.Semantic.DeepEqual(old.Spec.ParamKind, o.Spec.ParamKind) {
			err = p.policy(ctx, a, o.Spec.ParamKind)
		}
	case *admissionv1.ValidatingAdmissionPolicyBinding:
		old, _ := a.Old.(*admissionv1.ValidatingAdmissionPolicyBinding)
		if old == nil || !equality.Semantic.DeepEqual(old.Spec.ParamRef, o.Spec.ParamRef) || old.Spec.PolicyName != o.Spec.PolicyName {
			err = p.binding(ctx, a, client.ValidatingPolicies, o.Spec.PolicyName, o.Spec.ParamRef)
		}
	case *admissionv1.MutatingAdmissionPolicyBinding:
		old, _ := a.Old.(*admissionv1.MutatingAdmissionPolicyBinding)
		if old == nil || !equality.Semantic.DeepEqual(old.Spec.ParamRef, o.Spec.ParamRef) || old.Spec.PolicyName != o.Spec.PolicyName {
			err = p.binding(ctx, a, client.MutatingPolicies, o.Spec.PolicyName, o.Spec.ParamRef)
		}
	}
	if err == nil {
		return nil
	}
	return apierrors.NewInvalid(a.Kind.GVK().GroupKind(), a.Name, field.ErrorList{field.Forbidden(path, err.Error())})
}

// needed is what the author must have the right to read: all there is, as far as it is not known what kind is meant.
type needed struct {
	group, version, resource string
	parseErr, resolveErr     error
}

func (p *Parameters) needed(k *admissionv1.ParamKind) needed {
	n := needed{group: "*", version: "*", resource: "*"}
	gv, err := schema.ParseGroupVersion(k.APIVersion)
	if n.parseErr = err; err != nil {
		return n
	}
	n.group, n.version = gv.Group, gv.Version
	kind := p.cfg.Kind(gv.WithKind(k.Kind))
	if kind == nil {
		n.resolveErr = fmt.Errorf("no matches for kind %q in version %q", k.Kind, gv)
		return n
	}
	n.resource = kind.Resource
	return n
}

func (p *Parameters) policy(ctx context.Context, a *admit.Attributes, k *admissionv1.ParamKind) error {
	if k == nil {
		return nil
	}
	n := p.needed(k)
	d, _, err := p.cfg.Authorizer.Authorize(ctx, authz.Attributes{
		User: a.User, Verb: "get", Group: n.group, Version: n.version, Resource: n.resource, Namespace: "*", Name: "*",
	})
	if err != nil && d != authz.Allow {
		return err
	}
	if d != authz.Allow {
		return fmt.Errorf("user %v must have \"get\" permission on all objects of the referenced paramKind (kind=%s, apiVersion=%s)", printed(a.User), k.Kind, k.APIVersion)
	}
	return nil
}

func (p *Parameters) binding(ctx context.Context, a *admit.Attributes, policies schema.GroupVersionResource, policy string, ref *admissionv1.ParamRef) error {
	if ref == nil {
		return nil
	}
	k, policyErr := p.paramKindOf(ctx, policies, policy)
	n := needed{group: "*", version: "*", resource: "*"}
	if k != nil {
		n = p.needed(k)
	}
	verb := "get"
	if ref.Name == "" {
		verb = "list"
	}
	d, _, err := p.cfg.Authorizer.Authorize(ctx, authz.Attributes{
		User: a.User, Verb: verb, Group: n.group, Version: n.version, Resource: n.resource, Namespace: ref.Namespace, Name: ref.Name,
	})
	const all = "to determine minimum required permissions and user %v does not have \"%v\" permission for all groups, versions and resources"
	switch who := printed(a.User); {
	case d == authz.Allow:
		return nil
	case err != nil:
		return fmt.Errorf("failed to authorize request: %w", err)
	case policyErr != nil:
		return fmt.Errorf("unable to get policy %s "+all, policy, who, verb)
	case n.parseErr != nil:
		return fmt.Errorf("unable to parse paramKind %v "+all, k, who, verb)
	case n.resolveErr != nil:
		return fmt.Errorf("unable to resolve paramKind %v "+all, k, who, verb)
	default:
		return fmt.Errorf("user %v does not have \"%v\" permission on the object referenced by paramRef", who, verb)
	}
}

// paramKindOf is the kind of a policy's parameters; nil where it has none or there is no such policy.
func (p *Parameters) paramKindOf(ctx context.Context, policies schema.GroupVersionResource, name string) (*admissionv1.ParamKind, error) {
	obj, err := p.cfg.Door.Get(ctx, client.Ref{Resource: policies, Name: name}, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	switch o := obj.(type) {
	case *admissionv1.ValidatingAdmissionPolicy:
		return o.Spec.ParamKind, nil
	case *admissionv1.MutatingAdmissionPolicy:
		return o.Spec.ParamKind, nil
	}
	return nil, nil
}

// printed is how upstream's messages print a user.
func printed(u api.User) *user.DefaultInfo {
	return &user.DefaultInfo{Name: u.Name, UID: u.UID, Groups: u.Groups, Extra: u.Extra}
}
