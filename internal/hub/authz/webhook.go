package authz

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"sampan.dev/internal/api"

	authorizationv1 "k8s.io/api/authorization/v1"
	authorizationv1beta1 "k8s.io/api/authorization/v1beta1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/cache"
)

// poster asks the program elsewhere (hub/callout).
type poster interface {
	Post(ctx context.Context, in, out any) error
}

// matcher says whether a webhook is asked about a request (k8s.io/apiserver's CELMatcher).
type matcher interface {
	Eval(ctx context.Context, r *authorizationv1.SubjectAccessReview) (bool, error)
}

// webhook asks a program elsewhere by a SubjectAccessReview. Answers are kept for a while. Its fields do not change.
type webhook struct {
	post            poster
	beta            bool    // speaks authorization.k8s.io/v1beta1
	matches         matcher // nil: it is asked about everything
	onError         Decision
	allowed, denied time.Duration // how long such an answer is kept; 0: not at all
	answers         *cache.LRUExpireCache
}

// How many answers are kept, and of requests of what size at most: what comes from the caller must not fill the memory.
const (
	mostAnswers  = 8192
	mostAnswered = 10000
)

// Authorize implements Authorizer.
func (w *webhook) Authorize(ctx context.Context, a Attributes) (Decision, string, error) {
	review := &authorizationv1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{Kind: "SubjectAccessReview", APIVersion: "authorization.k8s.io/v1"},
		Spec:     reviewOf(&a),
	}
	if w.matches != nil {
		ok, err := w.matches.Eval(ctx, review)
		if err != nil {
			return w.onError, "", err
		}
		if !ok {
			return NoOpinion, "", nil
		}
	}
	key, err := json.Marshal(&review.Spec)
	if err != nil {
		return w.onError, "", err
	}
	if known, ok := w.answers.Get(string(key)); ok {
		return decide(known.(authorizationv1.SubjectAccessReviewStatus))
	}
	status, err := w.ask(ctx, review)
	if err != nil {
		return w.onError, "", err
	}
	keep := w.denied
	if status.Allowed {
		keep = w.allowed
	}
	size := len(a.Namespace) + len(a.Verb) + len(a.Group) + len(a.Version) + len(a.Resource) + len(a.Subresource) + len(a.Name) + len(a.Path)
	if keep > 0 && size < mostAnswered {
		w.answers.Add(string(key), status, keep)
	}
	return decide(status)
}

func decide(s authorizationv1.SubjectAccessReviewStatus) (Decision, string, error) {
	switch {
	case s.Denied && s.Allowed:
		return Deny, s.Reason, errors.New("webhook subject access review returned both allow and deny response")
	case s.Denied:
		return Deny, s.Reason, nil
	case s.Allowed:
		return Allow, s.Reason, nil
	}
	return NoOpinion, s.Reason, nil
}

func (w *webhook) ask(ctx context.Context, r *authorizationv1.SubjectAccessReview) (authorizationv1.SubjectAccessReviewStatus, error) {
	if !w.beta {
		var out authorizationv1.SubjectAccessReview
		err := w.post.Post(ctx, r, &out)
		return out.Status, err
	}
	in := authorizationv1beta1.SubjectAccessReview{
		TypeMeta: metav1.TypeMeta{Kind: "SubjectAccessReview", APIVersion: "authorization.k8s.io/v1beta1"},
		Spec:     authorizationv1beta1.SubjectAccessReviewSpec{User: r.Spec.User, UID: r.Spec.UID, Groups: r.Spec.Groups},
	}
	for k, v := range r.Spec.Extra {
		if in.Spec.Extra == nil {
			in.Spec.Extra = map[string]authorizationv1beta1.ExtraValue{}
		}
		in.Spec.Extra[k] = authorizationv1beta1.ExtraValue(v)
	}
	if ra := r.Spec.ResourceAttributes; ra != nil {
		in.Spec.ResourceAttributes = &authorizationv1beta1.ResourceAttributes{
			Namespace: ra.Namespace, Verb: ra.Verb, Group: ra.Group, Version: ra.Version, Resource: ra.Resource, Subresource: ra.Subresource, Name: ra.Name,
			FieldSelector: ra.FieldSelector, LabelSelector: ra.LabelSelector,
		}
	}
	if na := r.Spec.NonResourceAttributes; na != nil {
		in.Spec.NonResourceAttributes = &authorizationv1beta1.NonResourceAttributes{Path: na.Path, Verb: na.Verb}
	}
	var out authorizationv1beta1.SubjectAccessReview
	err := w.post.Post(ctx, &in, &out)
	return authorizationv1.SubjectAccessReviewStatus{
		Allowed: out.Status.Allowed, Denied: out.Status.Denied, Reason: out.Status.Reason, EvaluationError: out.Status.EvaluationError,
	}, err
}

// reviewOf is the question as a SubjectAccessReview.
func reviewOf(a *Attributes) authorizationv1.SubjectAccessReviewSpec {
	spec := authorizationv1.SubjectAccessReviewSpec{User: a.User.Name, UID: a.User.UID, Groups: a.User.Groups}
	for k, v := range a.User.Extra {
		if spec.Extra == nil {
			spec.Extra = map[string]authorizationv1.ExtraValue{}
		}
		spec.Extra[k] = v
	}
	if a.Resource == "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: a.Path, Verb: a.Verb}
		return spec
	}
	ra := &authorizationv1.ResourceAttributes{
		Namespace: a.Namespace, Verb: a.Verb, Group: a.Group, Version: a.Version, Resource: a.Resource, Subresource: a.Subresource, Name: a.Name,
	}
	if some := fieldRequirements(a.FieldSelector); len(some) > 0 {
		ra.FieldSelector = &authorizationv1.FieldSelectorAttributes{Requirements: some}
	}
	if some := labelRequirements(a.LabelSelector); len(some) > 0 {
		ra.LabelSelector = &authorizationv1.LabelSelectorAttributes{Requirements: some}
	}
	spec.ResourceAttributes = ra
	return spec
}

// fieldRequirements are those of a selector that can be told; to leave some out makes the question a wider one.
func fieldRequirements(selector string) (out []metav1.FieldSelectorRequirement) {
	if selector == "" {
		return nil
	}
	s, err := fields.ParseSelector(selector)
	if err != nil {
		return nil
	}
	for _, r := range s.Requirements() {
		op := metav1.FieldSelectorOpIn
		switch r.Operator {
		case selection.Equals, selection.DoubleEquals, selection.In:
		case selection.NotEquals, selection.NotIn:
			op = metav1.FieldSelectorOpNotIn
		default:
			continue
		}
		out = append(out, metav1.FieldSelectorRequirement{Key: r.Field, Operator: op, Values: []string{r.Value}})
	}
	return out
}

func labelRequirements(selector string) (out []metav1.LabelSelectorRequirement) {
	if selector == "" {
		return nil
	}
	requirements, err := labels.ParseToRequirements(selector)
	if err != nil {
		return nil
	}
	for _, r := range requirements {
		to := metav1.LabelSelectorRequirement{Key: r.Key(), Values: r.ValuesUnsorted()}
		switch r.Operator() {
		case selection.Equals, selection.DoubleEquals, selection.In:
			to.Operator = metav1.LabelSelectorOpIn
		case selection.NotEquals, selection.NotIn:
			to.Operator = metav1.LabelSelectorOpNotIn
		case selection.Exists:
			to.Operator = metav1.LabelSelectorOpExists
		case selection.DoesNotExist:
			to.Operator = metav1.LabelSelectorOpDoesNotExist
		default:
			continue
		}
		out = append(out, to)
	}
	return out
}

func (w *webhook) rulesOf(api.User, string) ([]rbacv1.PolicyRule, bool, error) {
	return nil, true, errors.New("webhook authorizer does not support user rule resolution")
}
