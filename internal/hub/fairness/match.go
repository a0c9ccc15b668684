package fairness

import (
	"slices"
	"strings"
	"sync/atomic"

	"sampan.dev/internal/api"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
)

// Request is what a request is told apart by.
type Request struct {
	User     *api.User
	Resource bool   // of an API resource; otherwise of a plain path
	Verb     string // "get"
	Path     string // of what is no resource

	Group, Plural, Subresource, Namespace string

	Name, Version string // for those who look at what waits
	URI           string
}

// schema is a FlowSchema ready to be matched. It does not change, but for its counts, which outlive it.
type schema struct {
	name   string
	level  *level
	uid    []string // as a header has it
	by     flowcontrolv1.FlowDistinguisherMethodType
	rules  []rule
	counts *counts
}

// counts are those of the requests of one schema.
type counts struct {
	executing, waiting                             atomic.Int64
	dispatched, waited, full, limited, late, ended atomic.Int64
	waitedNanos                                    atomic.Int64
}

// rule is a PolicyRulesWithSubjects with its subjects by sort.
type rule struct {
	users, groups []string
	accounts      []string // "system:serviceaccount:NAMESPACE:NAME", or with a colon at its end for all of a namespace
	resources     []flowcontrolv1.ResourcePolicyRule
	paths         []flowcontrolv1.NonResourcePolicyRule
}

const accountPrefix = "system:serviceaccount:"

func newSchema(c *flowcontrolv1.FlowSchema, l *level, before *schema) *schema {
	s := &schema{name: c.Name, level: l, uid: []string{string(c.UID)}, counts: &counts{}}
	if before != nil {
		s.counts = before.counts
	}
	if m := c.Spec.DistinguisherMethod; m != nil {
		s.by = m.Type
	}
	for i := range c.Spec.Rules {
		from := &c.Spec.Rules[i]
		r := rule{resources: from.ResourceRules, paths: from.NonResourceRules}
		for _, sub := range from.Subjects {
			switch {
			case sub.User != nil:
				r.users = append(r.users, sub.User.Name)
			case sub.Group != nil:
				r.groups = append(r.groups, sub.Group.Name)
			case sub.ServiceAccount != nil:
				name := sub.ServiceAccount.Name
				if name == flowcontrolv1.NameAll {
					name = ""
				}
				r.accounts = append(r.accounts, accountPrefix+sub.ServiceAccount.Namespace+":"+name)
			}
		}
		s.rules = append(s.rules, r)
	}
	return s
}

// classify finds the schema that a request belongs to.
func (r *rules) classify(q *Request) *schema {
	for _, s := range r.schemas {
		for i := range s.rules {
			if s.rules[i].matches(q) {
				return s
			}
		}
	}
	return r.catchAll
}

func (r *rule) matches(q *Request) bool {
	if !r.concerns(q.User) {
		return false
	}
	if q.Resource {
		for i := range r.resources {
			if inResource(&r.resources[i], q) {
				return true
			}
		}
		return false
	}
	for i := range r.paths {
		if inPath(&r.paths[i], q) {
			return true
		}
	}
	return false
}

// concerns reports whether a user is one of the rule's subjects.
func (r *rule) concerns(u *api.User) bool {
	for _, name := range r.users {
		if name == u.Name || name == flowcontrolv1.NameAll {
			return true
		}
	}
	for _, g := range r.groups {
		if g == flowcontrolv1.NameAll {
			return true
		}
		for _, have := range u.Groups {
			if have == g {
				return true
			}
		}
	}
	for _, a := range r.accounts {
		if a == u.Name || a[len(a)-1] == ':' && strings.HasPrefix(u.Name, a) {
			return true
		}
	}
	return false
}

// in reports whether a list has a word, or stands for all.
func in(list []string, word string) bool {
	return len(list) > 0 && (list[0] == flowcontrolv1.VerbAll || slices.Contains(list, word))
}

func inResource(r *flowcontrolv1.ResourcePolicyRule, q *Request) bool {
	if !in(r.Verbs, q.Verb) || !in(r.APIGroups, q.Group) {
		return false
	}
	if q.Namespace == "" {
		if !r.ClusterScope {
			return false
		}
	} else if !in(r.Namespaces, q.Namespace) {
		return false
	}
	if q.Subresource == "" {
		return in(r.Resources, q.Plural)
	}
	return len(r.Resources) > 0 && r.Resources[0] == flowcontrolv1.ResourceAll || slices.ContainsFunc(r.Resources, func(s string) bool {
		n := len(q.Plural)
		return len(s) == n+1+len(q.Subresource) && s[:n] == q.Plural && s[n] == '/' && s[n+1:] == q.Subresource
	})
}

func inPath(r *flowcontrolv1.NonResourcePolicyRule, q *Request) bool {
	return in(r.Verbs, q.Verb) && slices.ContainsFunc(r.NonResourceURLs, func(s string) bool {
		if s == flowcontrolv1.NonResourceAll || s == q.Path {
			return true
		}
		prefix, all := strings.CutSuffix(s, "*")
		return all && strings.HasSuffix(prefix, "/") && strings.HasPrefix(q.Path, prefix)
	})
}

// flow is what tells the flows of a schema apart.
func (s *schema) flow(q *Request) string {
	switch s.by {
	case flowcontrolv1.FlowDistinguisherMethodByUserType:
		return q.User.Name
	case flowcontrolv1.FlowDistinguisherMethodByNamespaceType:
		return q.Namespace
	}
	return ""
}
