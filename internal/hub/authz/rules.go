package authz

import (
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
)

// RuleAllows tells whether one rule grants what is asked.
func RuleAllows(a *Attributes, rule *rbacv1.PolicyRule) bool {
	if !has(rule.Verbs, a.Verb) {
		return false
	}
	if a.Resource == "" {
		return pathMatches(rule.NonResourceURLs, a.Path)
	}
	return has(rule.APIGroups, a.Group) && resourceMatches(rule.Resources, a.Resource, a.Subresource) &&
		(len(rule.ResourceNames) == 0 || slices.Contains(rule.ResourceNames, a.Name))
}

// RulesAllow tells whether any of rules does.
func RulesAllow(a *Attributes, rules []rbacv1.PolicyRule) bool {
	for i := range rules {
		if RuleAllows(a, &rules[i]) {
			return true
		}
	}
	return false
}

// has looks for v or "*".
func has(list []string, v string) bool {
	for _, x := range list {
		if x == "*" || x == v {
			return true
		}
	}
	return false
}

// resourceMatches knows "*", "pods", "pods/log" and "*/scale".
func resourceMatches(list []string, resource, sub string) bool {
	for _, x := range list {
		if x == "*" {
			return true
		}
		if sub == "" {
			if x == resource {
				return true
			}
			continue
		}
		if res, s, ok := strings.Cut(x, "/"); ok && s == sub && (res == "*" || res == resource) {
			return true
		}
	}
	return false
}

// pathMatches knows "*", "/healthz" and "/healthz/*".
func pathMatches(list []string, path string) bool {
	for _, x := range list {
		if x == "*" || x == path {
			return true
		}
		if strings.HasSuffix(x, "*") && strings.HasPrefix(path, strings.TrimRight(x, "*")) {
			return true
		}
	}
	return false
}
