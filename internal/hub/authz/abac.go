package authz

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	rbacv1 "k8s.io/api/rbac/v1"
)

// abac are the policies of a file, one a line, of which any that fits allows.
type abac []abacPolicy

// abacPolicy is a Policy of abac.authorization.kubernetes.io/v1beta1.
type abacPolicy struct {
	User            string `json:"user"`
	Group           string `json:"group"`
	Readonly        bool   `json:"readonly"`
	APIGroup        string `json:"apiGroup"`
	Resource        string `json:"resource"`
	Namespace       string `json:"namespace"`
	NonResourcePath string `json:"nonResourcePath"`
}

const abacVersion = "abac.authorization.kubernetes.io/v1beta1"

// readABAC reads a file of policies. Lines without a version are of the oldest form.
func readABAC(path string) (abac, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	out := abac{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		p, err := parseABAC(line)
		if err != nil {
			return nil, fmt.Errorf("error reading policy file %s, line %d: %s: %w", path, n, lines.Text(), err)
		}
		out = append(out, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("error reading policy file %s: %w", path, err)
	}
	return out, nil
}

func parseABAC(line []byte) (abacPolicy, error) {
	var p struct {
		Kind       string     `json:"kind"`
		APIVersion string     `json:"apiVersion"`
		Spec       abacPolicy `json:"spec"`
	}
	if err := json.Unmarshal(line, &p); err != nil {
		return abacPolicy{}, err
	}
	switch {
	case p.Kind == "" && p.APIVersion == "":
		return oldestABAC(line)
	case p.APIVersion != abacVersion || p.Kind != "Policy":
		return abacPolicy{}, fmt.Errorf("no kind %q is registered for version %q", p.Kind, p.APIVersion)
	}
	return p.Spec.everybody(), nil
}

// everybody has "*" mean all who have proved who they are.
func (p abacPolicy) everybody() abacPolicy {
	if p.User == "*" || p.Group == "*" {
		p.User, p.Group = "", api.GroupAuthenticated
	}
	return p
}

// oldestABAC reads a line without a version: what it leaves out means everything, and nobody named means everybody.
func oldestABAC(line []byte) (abacPolicy, error) {
	var p abacPolicy
	if err := json.Unmarshal(line, &p); err != nil {
		return p, err
	}
	if p.User == "" && p.Group == "" {
		p.Group = api.GroupAuthenticated
	}
	if p.NonResourcePath = ""; p.Namespace == "" && p.Resource == "" {
		p.NonResourcePath = "*"
	}
	if p.Namespace == "" {
		p.Namespace = "*"
	}
	if p.Resource == "" {
		p.Resource = "*"
	}
	p.APIGroup = "*"
	return p.everybody(), nil
}

// Authorize implements Authorizer.
func (l abac) Authorize(_ context.Context, a Attributes) (Decision, string, error) {
	for i := range l {
		if l[i].allows(&a) {
			return Allow, "", nil
		}
	}
	return NoOpinion, "No policy matched.", nil
}

func (p *abacPolicy) allows(a *Attributes) bool {
	readonly := a.Verb == "get" || a.Verb == "list" || a.Verb == "watch"
	if !p.about(a.User) || p.Readonly && !readonly {
		return false
	}
	if a.Resource != "" {
		return one(p.Namespace, a.Namespace) && one(p.Resource, a.Resource) && one(p.APIGroup, a.Group)
	}
	spec := p.NonResourcePath
	return one(spec, a.Path) || strings.HasSuffix(spec, "*") && strings.HasPrefix(a.Path, strings.TrimRight(spec, "*"))
}

func one(spec, s string) bool { return spec == "*" || spec == s }

// about reports whether the policy is for that user. One that names neither a user nor a group is for nobody.
func (p *abacPolicy) about(user api.User) bool {
	return (p.User != "" || p.Group != "") && (p.User == "" || one(p.User, user.Name)) &&
		(p.Group == "" || p.Group == "*" || slices.Contains(user.Groups, p.Group))
}

func (l abac) rulesOf(user api.User, namespace string) (out []rbacv1.PolicyRule, _ bool, _ error) {
	for i := range l {
		p := &l[i]
		if !p.about(user) || !one(p.Namespace, namespace) {
			continue
		}
		verbs := []string{"*"}
		if p.Readonly {
			verbs = []string{"get", "list", "watch"}
		}
		if p.Resource != "" {
			out = append(out, rbacv1.PolicyRule{Verbs: verbs, APIGroups: []string{p.APIGroup}, Resources: []string{p.Resource}})
		}
		if p.NonResourcePath != "" {
			out = append(out, rbacv1.PolicyRule{Verbs: verbs, NonResourceURLs: []string{p.NonResourcePath}})
		}
	}
	return out, false, nil
}
