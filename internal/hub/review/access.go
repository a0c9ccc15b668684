package review

import (
	"context"
	"fmt"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/verb"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
)

type access struct {
	authz authz.Authorizer
	chain *authz.Chain
}

func (z *access) subject(ctx context.Context, _ *verb.Request, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SubjectAccessReview: %T", obj))
	}
	r.Status = z.decide(ctx, userOf(&r.Spec), r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	return r, nil
}

func (z *access) local(ctx context.Context, req *verb.Request, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.LocalSubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a LocaLocalSubjectAccessReview: %T", obj))
	}
	if ns := req.Ref.Namespace; ns == "" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("namespace is required on this type: %v", ns))
	} else if ns != r.Namespace {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("spec.resourceAttributes.namespace must match namespace: %v", ns))
	}
	r.Status = z.decide(ctx, userOf(&r.Spec), r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	return r, nil
}

func (z *access) self(ctx context.Context, req *verb.Request, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SelfSubjectAccessReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SelfSubjectAccessReview: %T", obj))
	}
	r.Status = z.decide(ctx, req.User, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	return r, nil
}

func (z *access) decide(ctx context.Context, user api.User, res *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) authorizationv1.SubjectAccessReviewStatus {
	a := authz.Attributes{User: user}
	var ignored []string
	switch {
	case res != nil:
		a.Verb, a.Group, a.Version, a.Resource, a.Subresource = res.Verb, res.Group, res.Version, res.Resource, res.Subresource
		a.Namespace, a.Name = res.Namespace, res.Name
		if a.Version == "" {
			a.Version = "*"
		}
		var fieldErr, labelErr error
		a.FieldSelector, fieldErr = fieldSelector(res.FieldSelector)
		a.LabelSelector, labelErr = labelSelector(res.LabelSelector)
		ignored = append(ignoredSelector("fieldSelector", a.FieldSelector, fieldErr), ignoredSelector("labelSelector", a.LabelSelector, labelErr)...)
	case path != nil:
		a.Verb, a.Path = path.Verb, path.Path
	}
	d, reason, err := z.authz.Authorize(ctx, a)
	st := authorizationv1.SubjectAccessReviewStatus{Allowed: d == authz.Allow, Denied: d == authz.Deny, Reason: reason}
	if err != nil {
		ignored = append([]string{err.Error()}, ignored...)
	}
	st.EvaluationError = strings.Join(ignored, "; ")
	return st
}

// ignoredSelector says in upstream's words what of a selector that does not parse was left out; used is what was not.
func ignoredSelector(name, used string, err error) []string {
	switch {
	case err == nil:
		return nil
	case used != "":
		return []string{"spec.resourceAttributes." + name + " partially ignored due to parse error"}
	}
	return []string{"spec.resourceAttributes." + name + " ignored due to parse error"}
}

// fieldSelector writes requirements in the form that a query has. Those that cannot be are left out, which only asks for
// more than was meant.
func fieldSelector(s *authorizationv1.FieldSelectorAttributes) (string, error) {
	if s == nil {
		return "", nil
	}
	if len(s.Requirements) == 0 {
		if _, err := fields.ParseSelector(s.RawSelector); err != nil {
			return "", err
		}
		return s.RawSelector, nil
	}
	var terms []string
	var first error
	for _, r := range s.Requirements {
		switch {
		case r.Operator == metav1.FieldSelectorOpIn && len(r.Values) == 1:
			terms = append(terms, r.Key+"="+r.Values[0])
		case r.Operator == metav1.FieldSelectorOpNotIn && len(r.Values) == 1:
			terms = append(terms, r.Key+"!="+r.Values[0])
		case first != nil:
		case len(r.Values) > 1:
			first = fmt.Errorf("fieldSelectors do not yet support multiple values")
		default:
			first = fmt.Errorf("fieldSelectors do not yet support %v", r.Operator)
		}
	}
	return strings.Join(terms, ","), first
}

// labelSelector does the same for labels.
func labelSelector(s *authorizationv1.LabelSelectorAttributes) (string, error) {
	if s == nil {
		return "", nil
	}
	if len(s.Requirements) == 0 {
		if _, err := labels.Parse(s.RawSelector); err != nil {
			return "", err
		}
		return s.RawSelector, nil
	}
	var terms []string
	var first error
	for _, r := range s.Requirements {
		sel, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{r}})
		if err == nil {
			terms = append(terms, sel.String())
		} else if first == nil {
			first = err
		}
	}
	return strings.Join(terms, ","), first
}

func userOf(s *authorizationv1.SubjectAccessReviewSpec) api.User {
	u := api.User{Name: s.User, UID: s.UID, Groups: s.Groups}
	for k, v := range s.Extra {
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		u.Extra[k] = v
	}
	return u
}

func (z *access) rules(_ context.Context, req *verb.Request, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SelfSubjectRulesReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SelfSubjectRulesReview: %T", obj))
	}
	if r.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	if z.chain == nil { // an authorizer of somebody else's, which cannot list
		return &authorizationv1.SelfSubjectRulesReview{Status: authorizationv1.SubjectRulesReviewStatus{
			ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}, Incomplete: true,
		}}, nil
	}
	rules, incomplete, err := z.chain.Rules(req.User, r.Spec.Namespace)
	out := &authorizationv1.SelfSubjectRulesReview{Status: authorizationv1.SubjectRulesReviewStatus{
		ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}, Incomplete: incomplete,
	}}
	for _, p := range rules {
		if len(p.Resources) > 0 {
			out.Status.ResourceRules = append(out.Status.ResourceRules, authorizationv1.ResourceRule{
				Verbs: p.Verbs, APIGroups: p.APIGroups, Resources: p.Resources, ResourceNames: p.ResourceNames,
			})
		}
		if len(p.NonResourceURLs) > 0 {
			out.Status.NonResourceRules = append(out.Status.NonResourceRules, authorizationv1.NonResourceRule{Verbs: p.Verbs, NonResourceURLs: p.NonResourceURLs})
		}
	}
	if err != nil {
		out.Status.EvaluationError = err.Error()
	}
	return out, nil
}
