package match

import (
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/hub/admit"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Criteria say which writes a webhook, a policy or a binding is about. They are made once and never changed.
type Criteria struct {
	namespaces, objects labels.Selector
	rules, except       []admissionv1.NamedRuleWithOperations
	exact               bool // what is asked for must be named as it is asked for, not in another version of it
	all                 bool // where there are no rules, every write is meant
}

// Hook makes the criteria of a webhook: without rules it is about nothing.
func Hook(rules []admissionv1.RuleWithOperations, policy *admissionv1.MatchPolicyType, namespaces, objects *metav1.LabelSelector) (*Criteria, error) {
	named := make([]admissionv1.NamedRuleWithOperations, len(rules))
	for i := range rules {
		named[i].RuleWithOperations = rules[i]
	}
	return newCriteria(named, nil, policy, namespaces, objects)
}

// Resources makes the criteria of a policy or a binding: without rules it is about everything.
func Resources(m *admissionv1.MatchResources) (*Criteria, error) {
	c, err := newCriteria(m.ResourceRules, m.ExcludeResourceRules, m.MatchPolicy, m.NamespaceSelector, m.ObjectSelector)
	if err == nil {
		c.all = len(m.ResourceRules) == 0
	}
	return c, err
}

func newCriteria(rules, except []admissionv1.NamedRuleWithOperations, policy *admissionv1.MatchPolicyType, namespaces, objects *metav1.LabelSelector) (*Criteria, error) {
	c := &Criteria{rules: rules, except: except, exact: policy == nil || *policy == admissionv1.Exact}
	var err error
	if c.namespaces, err = selector("namespace", namespaces); err != nil {
		return nil, err
	}
	c.objects, err = selector("object", objects)
	return c, err
}

func selector(what string, s *metav1.LabelSelector) (labels.Selector, error) {
	if s == nil { // defaults are filled in wherever objects are read
		return nil, fmt.Errorf("a nil %s selector was passed, please ensure selectors are initialized properly", what)
	}
	return metav1.LabelSelectorAsSelector(s)
}

// asked is what a rule is held against: a write, as if it had been asked for through resource.
type asked struct {
	operation            admit.Operation
	resource             schema.GroupVersionResource
	sub, namespace, name string
	ownNamespace         bool // the object is a namespace, which is in none
}

// matches reports whether a rule names what is asked for.
func matches(r *admissionv1.NamedRuleWithOperations, q *asked) bool {
	return inScope(r.Scope, q) && has(r.Operations, admissionv1.OperationType(q.operation)) && has(r.APIGroups, q.resource.Group) &&
		has(r.APIVersions, q.resource.Version) && named(r.Resources, q.resource.Resource, q.sub) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, q.name))
}

func has[T ~string](list []T, item T) bool {
	return slices.Contains(list, "*") || slices.Contains(list, item)
}

func inScope(scope *admissionv1.ScopeType, q *asked) bool {
	inNamespace := !q.ownNamespace && q.namespace != ""
	switch {
	case scope == nil || *scope == admissionv1.AllScopes:
		return true
	case *scope == admissionv1.NamespacedScope:
		return inNamespace
	case *scope == admissionv1.ClusterScope:
		return !inNamespace
	}
	return false
}

func named(resources []string, resource, sub string) bool {
	return slices.ContainsFunc(resources, func(text string) bool {
		r, s, _ := strings.Cut(text, "/")
		return (r == "*" || r == resource) && (s == "*" || s == sub)
	})
}
