package policy

import (
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/admissionregistration"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/admit"
	"sampan.dev/internal/hub/admit/match"
	"sampan.dev/internal/hub/authz"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// Config is what policies are applied with.
type Config struct {
	Match      *match.Config
	Door       client.Reader // reads policies, bindings and parameters
	Authorizer authz.Authorizer
	// Kind is the kind of that name that is served now; nil for none.
	Kind func(schema.GroupVersionKind) *api.Kind
	// Types converts objects of a kind, or of a subresource of it, for apply configurations.
	Types   func(k *api.Kind, subresource string) managedfields.TypeConverter
	Metrics *Metrics
	// MutatingFiles and ValidatingFiles return the policies and bindings of the server's own files, a list of either; nil for none.
	MutatingFiles, ValidatingFiles func() [][]api.Object
}

// Policies are the plugins.
type Policies struct {
	Mutating   *Mutating
	Validating *Validating
	Parameters *Parameters
}

// New makes the plugins. Nothing is compiled before there is a policy with a binding.
func New(cfg Config) Policies {
	j := judge{cfg: cfg, authz: match.Authorizer(cfg.Authorizer)}
	return Policies{
		Mutating: &Mutating{judge: j, source: match.NewSource(cfg.Door, cfg.MutatingFiles, func(all match.Objects) *compiled[mutating] {
			return compile(all, compileMutating)
		}, client.MutatingPolicies, client.MutatingPolicyBindings)},
		Validating: &Validating{judge: j, source: match.NewSource(cfg.Door, cfg.ValidatingFiles, func(all match.Objects) *compiled[validating] {
			return compile(all, compileValidating)
		}, client.ValidatingPolicies, client.ValidatingPolicyBindings)},
		Parameters: &Parameters{cfg},
	}
}

// Told says that an object of a resource has been written.
func (p Policies) Told(r schema.GroupVersionResource) {
	switch r {
	case client.MutatingPolicies, client.MutatingPolicyBindings:
		p.Mutating.source.Told()
	case client.ValidatingPolicies, client.ValidatingPolicyBindings:
		p.Validating.source.Told()
	}
}

// Reread says that the files of the server say something else.
func (p Policies) Reread() {
	p.Mutating.source.Told()
	p.Validating.source.Told()
}

// judge is what both plugins have in common.
type judge struct {
	cfg   Config
	authz authorizer.UnconditionalAuthorizer
}

// exempt reports whether no policy applies to a write, of what it takes to find out who may do what.
func exempt(a *admit.Attributes) bool {
	k := a.As()
	for i := range admissionregistration.Unasked {
		if u := &admissionregistration.Unasked[i]; u.Resource == k.Resource && u.Group == k.Group {
			return true
		}
	}
	return false
}

// decides reports whether a write is of what decides which policies there are. Configurations of webhooks do not: policies apply to
// them.
func decides(a *admit.Attributes) bool {
	k := a.As()
	return k.Group == "admissionregistration.k8s.io" && strings.Contains(k.Kind, "AdmissionPolicy")
}
