package authz

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	rbacv1 "k8s.io/api/rbac/v1"
)

// Config says what New is made of.
type Config struct {
	Informers *cache.Set          // over the hub's own door
	Door      client.Reader       // the hub's own
	NodeRules []rbacv1.PolicyRule // what every node may do with resources that are not subdivided: those of system:node
	Settings  *Settings           // which authorizers there are besides; nil: Node, then RBAC
}

// Chain is the hub's authorizer: health checks and system:masters first, then those that the settings name, by default Node and RBAC.
// The first that has an opinion decides. Node and RBAC are there whatever the settings say: admission asks RBAC about escalation.
type Chain struct {
	Node     *Node
	RBAC     *RBAC
	settings *Settings
	now      atomic.Pointer[[]Named] // replaced when the settings change
}

// Named is an authorizer under the name that reasons give it.
type Named struct {
	Name string
	Authorizer
}

// resolver is an authorizer that can say all that a user may do.
type resolver interface {
	rulesOf(user api.User, namespace string) (rules []rbacv1.PolicyRule, incomplete bool, err error)
}

// New makes it; it answers from what the informers have seen so far.
func New(cfg Config) (*Chain, error) {
	c := &Chain{Node: NewNode(cfg.Informers, cfg.Door, cfg.NodeRules), RBAC: NewRBAC(cfg.Informers), settings: cfg.Settings}
	if cfg.Settings == nil {
		c.now.Store(&[]Named{{"node", c.Node}, {"rbac", c.RBAC}})
		return c, nil
	}
	members, err := cfg.Settings.build(c)
	if err != nil {
		return nil, err
	}
	c.now.Store(&members)
	return c, nil
}

// Authorize answers. The reason of a denial joins those of all authorizers, line by line, each with who gives it.
func (c *Chain) Authorize(ctx context.Context, a Attributes) (Decision, string, error) {
	if a.Resource == "" && (a.Verb == "get" || a.Verb == "head") && (a.Path == "/healthz" || a.Path == "/readyz" || a.Path == "/livez") {
		return Allow, "", nil
	}
	if Superuser(a.User) {
		return Allow, "", nil
	}
	var reasons []string
	var errs []error
	for _, z := range *c.now.Load() {
		d, reason, err := z.Authorize(ctx, a)
		if d != NoOpinion {
			return d, reason, err
		}
		if reason != "" {
			reasons = append(reasons, z.Name+": "+reason)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return NoOpinion, strings.Join(reasons, "\n"), errors.Join(errs...)
}

// Rules lists what user may do in namespace (SelfSubjectRulesReview); that of system:masters comes from cluster-admin. Incomplete is
// set for callers whose rights no list of rules can tell.
func (c *Chain) Rules(user api.User, namespace string) (rules []rbacv1.PolicyRule, incomplete bool, err error) {
	var errs []error
	for _, z := range *c.now.Load() {
		r, ok := z.Authorizer.(resolver)
		if !ok {
			continue
		}
		more, partly, err := r.rulesOf(user, namespace)
		rules, incomplete = append(rules, more...), incomplete || partly
		errs = append(errs, err)
	}
	return rules, incomplete, errors.Join(errs...)
}

func (n *Node) rulesOf(user api.User, _ string) ([]rbacv1.PolicyRule, bool, error) {
	if _, ok := NodeName(user); ok {
		return nil, true, errors.New("node authorizer does not support user rule resolution")
	}
	return nil, false, nil
}

func (r *RBAC) rulesOf(user api.User, namespace string) ([]rbacv1.PolicyRule, bool, error) {
	rules, err := r.Rules(user, namespace)
	return rules, false, err
}

// Superuser tells whether user may do everything, whatever roles say.
func Superuser(user api.User) bool { return slices.Contains(user.Groups, api.GroupMasters) }
