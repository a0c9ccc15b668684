package admissionregistration

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// hook is a webhook of either kind: pointers to the fields that both types have. Those of a mutating one have reinvocation too.
type hook struct {
	name              string
	client            *admissionv1.WebhookClientConfig
	rules             []admissionv1.RuleWithOperations
	failurePolicy     **admissionv1.FailurePolicyType
	matchPolicy       **admissionv1.MatchPolicyType
	namespaceSelector **metav1.LabelSelector
	objectSelector    **metav1.LabelSelector
	sideEffects       *admissionv1.SideEffectClass
	timeout           **int32
	versions          []string
	conditions        []admissionv1.MatchCondition
	reinvocation      *admissionv1.ReinvocationPolicyType
}

func hookOfMutating(h *admissionv1.MutatingWebhook) hook {
	return hook{
		name: h.Name, client: &h.ClientConfig, rules: h.Rules, failurePolicy: &h.FailurePolicy, matchPolicy: &h.MatchPolicy,
		namespaceSelector: &h.NamespaceSelector, objectSelector: &h.ObjectSelector, sideEffects: h.SideEffects, timeout: &h.TimeoutSeconds,
		versions: h.AdmissionReviewVersions, conditions: h.MatchConditions, reinvocation: h.ReinvocationPolicy,
	}
}

func hookOfValidating(h *admissionv1.ValidatingWebhook) hook {
	return hook{
		name: h.Name, client: &h.ClientConfig, rules: h.Rules, failurePolicy: &h.FailurePolicy, matchPolicy: &h.MatchPolicy,
		namespaceSelector: &h.NamespaceSelector, objectSelector: &h.ObjectSelector, sideEffects: h.SideEffects, timeout: &h.TimeoutSeconds,
		versions: h.AdmissionReviewVersions, conditions: h.MatchConditions,
	}
}

func hooksOfMutating(c *mutatingHooks) []hook {
	out := make([]hook, len(c.Webhooks))
	for i := range c.Webhooks {
		out[i] = hookOfMutating(&c.Webhooks[i])
	}
	return out
}

func hooksOfValidating(c *validatingHooks) []hook {
	out := make([]hook, len(c.Webhooks))
	for i := range c.Webhooks {
		out[i] = hookOfValidating(&c.Webhooks[i])
	}
	return out
}

// unset sets what is nil to value.
func unset[T any](p **T, value T) {
	if *p == nil {
		*p = &value
	}
}

func defaultHook(h hook) {
	unset(h.failurePolicy, admissionv1.Fail)
	unset(h.matchPolicy, admissionv1.Equivalent)
	unset(h.namespaceSelector, metav1.LabelSelector{})
	unset(h.objectSelector, metav1.LabelSelector{})
	unset(h.timeout, 10)
	if s := h.client.Service; s != nil {
		unset(&s.Port, 443)
	}
	for i := range h.rules {
		unset(&h.rules[i].Scope, admissionv1.AllScopes)
	}
}

func defaultMatch(m *admissionv1.MatchResources) {
	if m == nil {
		return
	}
	unset(&m.MatchPolicy, admissionv1.Equivalent)
	unset(&m.NamespaceSelector, metav1.LabelSelector{})
	unset(&m.ObjectSelector, metav1.LabelSelector{})
	for _, rules := range [][]admissionv1.NamedRuleWithOperations{m.ResourceRules, m.ExcludeResourceRules} {
		for i := range rules {
			unset(&rules[i].Scope, admissionv1.AllScopes)
		}
	}
}

// Unasked are the resources that no webhook and no policy is asked about: a server that had to ask somebody who may do something
// in order to find out who may ask would never answer.
var Unasked = []schema.GroupResource{
	{Group: "authentication.k8s.io", Resource: "selfsubjectreviews"},
	{Group: "authentication.k8s.io", Resource: "tokenreviews"},
	{Group: "authorization.k8s.io", Resource: "localsubjectaccessreviews"},
	{Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"},
	{Group: "authorization.k8s.io", Resource: "selfsubjectrulesreviews"},
	{Group: "authorization.k8s.io", Resource: "subjectaccessreviews"},
}

// warnHooks tells of rules that name what no webhook is asked about. A rule with a wildcard may well mean everything else.
func warnHooks(hooks []hook) []string {
	var out []string
	for i, h := range hooks {
		for j, r := range h.rules {
			if slices.Contains(r.APIGroups, "*") || slices.Contains(r.Resources, "*") {
				continue
			}
			var told []schema.GroupResource
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					gr := schema.GroupResource{Group: group, Resource: resource}
					if !slices.Contains(Unasked, gr) || slices.Contains(told, gr) {
						continue
					}
					told = append(told, gr)
					out = append(out, fmt.Sprintf("%s: %s is excluded from admission webhooks; this rule will have no effect",
						field.NewPath("webhooks").Index(i).Child("rules").Index(j), gr))
				}
			}
		}
	}
	return out
}
