package authz

import (
	"context"
	"errors"
	"slices"
	"strings"

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
}

// Chain is the hub's authorizer: health checks and system:masters first, then Node, then RBAC. The first that has an
// opinion decides.
type Chain struct {
	Node *Node
	RBAC *RBAC
}

// New makes it; it answers from what the informers have seen so far.
func New(cfg Config) *Chain {
	return &Chain{Node: NewNode(cfg.Informers, cfg.Door, cfg.NodeRules), RBAC: NewRBAC(cfg.Informers)}
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
	for _, z := range []struct {
		Authorizer
		name string
	}{{c.Node, "node"}, {c.RBAC, "rbac"}} {
		d, reason, err := z.Authorize(ctx, a)
		if d != NoOpinion {
			return d, reason, err
		}
		if reason != "" {
			reasons = append(reasons, z.name+": "+reason)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return NoOpinion, strings.Join(reasons, "\n"), errors.Join(errs...)
}

// Rules lists what user may do in namespace (SelfSubjectRulesReview); that of system:masters comes from cluster-admin. Incomplete is set for callers whose rights no list of
// rules can tell.
func (c *Chain) Rules(user api.User, namespace string) (rules []rbacv1.PolicyRule, incomplete bool, err error) {
	if _, ok := NodeName(user); ok {
		incomplete, err = true, errors.New("node authorizer does not support user rule resolution")
	}
	more, rbacErr := c.RBAC.Rules(user, namespace)
	return append(rules, more...), incomplete, errors.Join(err, rbacErr)
}

// Superuser tells whether user may do everything, whatever roles say.
func Superuser(user api.User) bool { return slices.Contains(user.Groups, api.GroupMasters) }
