package audit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"sampan.dev/internal/api"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/audit"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/apiserver/pkg/apis/audit/validation"
)

// Asked is the request that a policy decides on.
type Asked struct {
	User   *api.User
	Verb   string
	Object *Object // nil for paths
	Path   string  // without a query; only without Object
}

// Rule is what a policy says of a request.
type Rule struct {
	Level             Level
	Omit              Stage // those of which no event is kept
	OmitManagedFields bool
}

// Policy says how much of each request is recorded.
type Policy interface {
	Of(a *Asked) Rule
}

// Everything records every request at one level, when it has ended, but for questions how the server is.
type Everything Level

// Of implements Policy.
func (p Everything) Of(a *Asked) Rule {
	for _, probe := range []string{"/healthz", "/livez", "/readyz"} {
		if a.Object == nil && strings.HasPrefix(a.Path, probe) {
			return Rule{}
		}
	}
	return Rule{Level: Level(p), Omit: Received | Started}
}

// ReadPolicy reads a Policy of audit.k8s.io/v1 from a file. warnings are what a lenient reading of it leaves out.
func ReadPolicy(path string) (p Policy, warnings error, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to read file path %q: %w", path, err)
	}
	p, warnings, err = parsePolicy(data)
	if err != nil {
		err = fmt.Errorf("%w: from file %v", err, path)
	}
	return p, warnings, err
}

func parsePolicy(data []byte) (p Policy, warnings error, err error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(audit.AddToScheme(scheme), auditv1.AddToScheme(scheme)); err != nil {
		return nil, nil, err
	}
	out := &audit.Policy{}
	_, gvk, err := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder().Decode(data, nil, out)
	if runtime.IsStrictDecodingError(err) {
		warnings = err
		_, gvk, err = serializer.NewCodecFactory(scheme).UniversalDecoder().Decode(data, nil, out)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("failed decoding: %w", err)
	}
	if gvk.GroupVersion() != auditv1.SchemeGroupVersion {
		return nil, nil, fmt.Errorf("unknown group version field %v in policy", gvk)
	}
	if errs := validation.ValidatePolicy(out); len(errs) > 0 {
		return nil, nil, errs.ToAggregate()
	}
	if len(out.Rules) == 0 {
		return nil, nil, errors.New("loaded illegal policy with 0 rules")
	}
	return newRules(out), warnings, nil
}

// rules are those of a file, of which the first that fits decides.
type rules struct {
	of        []audit.PolicyRule
	says      []Rule
	otherwise Rule
}

func newRules(p *audit.Policy) *rules {
	out := &rules{of: p.Rules, otherwise: Rule{Level: None, Omit: stages(p.OmitStages), OmitManagedFields: p.OmitManagedFields}}
	for i := range p.Rules {
		r := &p.Rules[i]
		say := Rule{Level: Level(slices.Index(levels[:], string(r.Level))), Omit: stages(r.OmitStages) | out.otherwise.Omit, OmitManagedFields: p.OmitManagedFields}
		if r.OmitManagedFields != nil {
			say.OmitManagedFields = *r.OmitManagedFields
		}
		out.says = append(out.says, say)
	}
	return out
}

func stages(names []audit.Stage) Stage {
	var out Stage
	for _, s := range []Stage{Received, Started, Complete, Panic} {
		if slices.Contains(names, audit.Stage(s.String())) {
			out |= s
		}
	}
	return out
}

// Of implements Policy.
func (p *rules) Of(a *Asked) Rule {
	for i := range p.of {
		if fits(&p.of[i], a) {
			return p.says[i]
		}
	}
	return p.otherwise
}

func fits(r *audit.PolicyRule, a *Asked) bool {
	switch {
	case len(r.Users) > 0 && !slices.Contains(r.Users, a.User.Name),
		len(r.UserGroups) > 0 && !slices.ContainsFunc(a.User.Groups, func(g string) bool { return slices.Contains(r.UserGroups, g) }),
		len(r.Verbs) > 0 && !slices.Contains(r.Verbs, a.Verb):
		return false
	case len(r.Namespaces) > 0 || len(r.Resources) > 0:
		return a.Object != nil && fitsObject(r, a.Object)
	case len(r.NonResourceURLs) > 0:
		return a.Object == nil && slices.ContainsFunc(r.NonResourceURLs, func(spec string) bool { return fitsPath(spec, a.Path) })
	}
	return true
}

func fitsPath(spec, path string) bool {
	return spec == "*" || spec == path || strings.HasSuffix(spec, "*") && strings.HasPrefix(path, strings.TrimRight(spec, "*"))
}

func fitsObject(r *audit.PolicyRule, o *Object) bool {
	if len(r.Namespaces) > 0 && !slices.Contains(r.Namespaces, o.Namespace) {
		return false
	}
	return len(r.Resources) == 0 || slices.ContainsFunc(r.Resources, func(g audit.GroupResources) bool {
		switch {
		case g.Group != o.Group && g.Group != "*":
			return false
		case len(g.Resources) == 0:
			return true
		case len(g.ResourceNames) > 0 && !slices.Contains(g.ResourceNames, o.Name):
			return false
		}
		return slices.ContainsFunc(g.Resources, func(spec string) bool { return fitsResource(spec, o) })
	})
}

// fitsResource knows "*", "pods", "pods/log", "pods/*" and "*/log".
func fitsResource(spec string, o *Object) bool {
	resource, sub, both := strings.Cut(spec, "/")
	switch {
	case spec == "*":
		return true
	case !both:
		return resource == o.Resource && o.Subresource == ""
	case sub == "*":
		return resource == o.Resource
	case resource == "*":
		return o.Subresource != "" && sub == o.Subresource
	}
	return resource == o.Resource && sub == o.Subresource
}
