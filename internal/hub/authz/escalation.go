package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/component-helpers/auth/rbac/validation"
)

// Covers returns an error that names what rules would grant in namespace beyond what user holds there. Nobody may hand out
// more than he has.
func (r *RBAC) Covers(user api.User, namespace string, rules []rbacv1.PolicyRule) error {
	own, err := r.Rules(user, namespace)
	ok, missing := validation.Covers(own, rules)
	if ok {
		return nil
	}
	lines := []string{}
	for _, m := range compact(missing) {
		lines = append(lines, describeRule(m))
	}
	slices.Sort(lines)
	msg := fmt.Sprintf("user %q (groups=%q) is attempting to grant RBAC permissions not currently held:\n%s",
		user.Name, user.Groups, strings.Join(slices.Compact(lines), "\n"))
	if err != nil {
		msg += fmt.Sprintf("; resolution errors: %v", []error{err})
	}
	return errors.New(msg)
}

// CoversEverything is Covers of cluster-admin's rules.
func (r *RBAC) CoversEverything(user api.User, namespace string) error {
	return r.Covers(user, namespace, full)
}

// compact joins rules for one resource that differ only in their verbs.
func compact(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	type key struct {
		group, resource, name string
		named                 bool
	}
	var out []rbacv1.PolicyRule
	at := map[key]int{}
	for _, rule := range rules {
		if len(rule.ResourceNames) > 1 || len(rule.NonResourceURLs) > 0 || len(rule.APIGroups) != 1 || len(rule.Resources) != 1 {
			out = append(out, rule)
			continue
		}
		k := key{group: rule.APIGroups[0], resource: rule.Resources[0]}
		if len(rule.ResourceNames) == 1 {
			k.name, k.named = rule.ResourceNames[0], true
		}
		if i, ok := at[k]; ok {
			out[i].Verbs = append(out[i].Verbs, rule.Verbs...)
			continue
		}
		at[k] = len(out)
		out = append(out, *rule.DeepCopy())
	}
	return out
}

// describeRule is upstream's compact form: {APIGroups:["apps"], Resources:["deployments"], Verbs:["get" "list"]}.
func describeRule(r rbacv1.PolicyRule) string {
	var parts []string
	for _, f := range []struct {
		name string
		v    []string
	}{
		{"APIGroups", r.APIGroups}, {"Resources", r.Resources}, {"NonResourceURLs", r.NonResourceURLs},
		{"ResourceNames", r.ResourceNames}, {"Verbs", r.Verbs},
	} {
		if len(f.v) > 0 {
			parts = append(parts, fmt.Sprintf("%s:%q", f.name, f.v))
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

var full = []rbacv1.PolicyRule{
	{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
	{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}},
}
