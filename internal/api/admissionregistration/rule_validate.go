package admissionregistration

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	operations         = []string{"*", "CONNECT", "CREATE", "DELETE", "UPDATE"}
	mutatingOperations = []string{"*", "CONNECT", "CREATE", "UPDATE"} // what is deleted is not changed any more
	scopes             = []string{"*", "Cluster", "Namespaced"}
)

func checkRule(r *admissionv1.RuleWithOperations, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(r.Operations) == 0 {
		errs = append(errs, field.Required(path.Child("operations"), ""))
	}
	if len(r.Operations) > 1 && slices.Contains(r.Operations, admissionv1.OperationAll) {
		errs = append(errs, field.Invalid(path.Child("operations"), r.Operations, "if '*' is present, must not specify other operations"))
	}
	for i := range r.Operations {
		errs = append(errs, oneOf(&r.Operations[i], operations, path.Child("operations").Index(i))...)
	}
	if len(r.APIGroups) == 0 {
		errs = append(errs, field.Required(path.Child("apiGroups"), ""))
	}
	if len(r.APIGroups) > 1 && slices.Contains(r.APIGroups, "*") {
		errs = append(errs, field.Invalid(path.Child("apiGroups"), r.APIGroups, "if '*' is present, must not specify other API groups"))
	}
	if len(r.APIVersions) == 0 {
		errs = append(errs, field.Required(path.Child("apiVersions"), ""))
	}
	if len(r.APIVersions) > 1 && slices.Contains(r.APIVersions, "*") {
		errs = append(errs, field.Invalid(path.Child("apiVersions"), r.APIVersions, "if '*' is present, must not specify other API versions"))
	}
	for i, v := range r.APIVersions {
		if v == "" {
			errs = append(errs, field.Required(path.Child("apiVersions").Index(i), ""))
		}
	}
	errs = append(errs, checkResources(r.Resources, path.Child("resources"))...)
	return append(errs, oneOf(r.Scope, scopes, path.Child("scope"))...)
}

// checkResources refuses names that others in the list cover, as far as they come after those.
func checkResources(resources []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(resources) == 0 {
		errs = append(errs, field.Required(path, ""))
	}
	everySub, everyResource := map[string]bool{}, map[string]bool{} // of "x/*", and of "*/x"
	plain := false
	for i, text := range resources {
		if text == "" {
			errs = append(errs, field.Required(path.Index(i), ""))
			continue
		}
		resource, sub, below := strings.Cut(text, "/")
		if !below {
			plain = text != "*"
			continue
		}
		if everySub[resource] {
			errs = append(errs, field.Invalid(path.Index(i), text, fmt.Sprintf("if '%s/*' is present, must not specify %s", resource, text)))
		}
		if everyResource[sub] {
			errs = append(errs, field.Invalid(path.Index(i), text, fmt.Sprintf("if '*/%s' is present, must not specify %s", sub, text)))
		}
		if sub == "*" {
			everySub[resource] = true
		}
		if resource == "*" {
			everyResource[sub] = true
		}
	}
	if len(resources) > 1 && slices.Contains(resources, "*/*") {
		errs = append(errs, field.Invalid(path, resources, "if '*/*' is present, must not specify other resources"))
	}
	if slices.Contains(resources, "*") && plain {
		errs = append(errs, field.Invalid(path, resources, "if '*' is present, must not specify other resources without subresources"))
	}
	return errs
}

// checkMatch validates what a policy or a binding is about; m may be nil.
func checkMatch(m *admissionv1.MatchResources, path *field.Path) field.ErrorList {
	if m == nil {
		return nil
	}
	var errs field.ErrorList
	if m.MatchPolicy == nil {
		errs = append(errs, field.Required(path.Child("matchPolicy"), ""))
	}
	errs = append(errs, oneOf(m.MatchPolicy, matchPolicies, path.Child("matchPolicy"))...)
	errs = append(errs, checkSelector(m.NamespaceSelector, path.Child("namespaceSelector"))...)
	errs = append(errs, checkSelector(m.ObjectSelector, path.Child("objectSelector"))...)
	for i := range m.ResourceRules {
		errs = append(errs, checkNamedRule(&m.ResourceRules[i], path.Child("resourceRules").Index(i))...)
	}
	for i := range m.ExcludeResourceRules {
		errs = append(errs, checkNamedRule(&m.ExcludeResourceRules[i], path.Child("excludeResourceRules").Index(i))...)
	}
	return errs
}

func checkSelector(s *metav1.LabelSelector, path *field.Path) field.ErrorList {
	if s == nil {
		return field.ErrorList{field.Required(path, "")}
	}
	return metavalidation.ValidateLabelSelector(s, metavalidation.LabelSelectorValidationOptions{}, path)
}

func checkNamedRule(r *admissionv1.NamedRuleWithOperations, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i, name := range r.ResourceNames {
		for _, msg := range content.IsPathSegmentName(name) {
			errs = append(errs, field.Invalid(path.Child("resourceNames").Index(i), name, msg))
		}
		if names[name] {
			errs = append(errs, field.Duplicate(path.Child("resourceNames").Index(i), name))
		}
		names[name] = true
	}
	return append(errs, checkRule(&r.RuleWithOperations, path)...)
}

// checkMutable refuses rules about operations in which nothing can be changed.
func checkMutable(m *admissionv1.MatchResources, path *field.Path) field.ErrorList {
	if m == nil {
		return nil
	}
	var errs field.ErrorList
	for i := range m.ResourceRules {
		for j := range m.ResourceRules[i].Operations {
			errs = append(errs, oneOf(&m.ResourceRules[i].Operations[j], mutatingOperations, path.Child("resourceRules", "operations"))...)
		}
	}
	return errs
}
