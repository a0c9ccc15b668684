package identity

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
)

// NewAggregator makes the clusterrole-aggregation-controller: roles with an aggregationRule hold the rules of those it
// selects. Account: clusterrole-aggregation-controller.
func NewAggregator(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	roles := cache.For[*rbacv1.ClusterRole](env.Informers, client.ClusterRoles, cache.Options{})
	// Any role may be part of any aggregate; there are few of these.
	all := func(*rbacv1.ClusterRole) {
		for _, r := range roles.List("") {
			if r.AggregationRule != nil {
				queue.Add(r.Name)
			}
		}
	}
	roles.Handle(cache.Handler[*rbacv1.ClusterRole]{
		Add: all, Delete: all,
		Update: func(old, r *rbacv1.ClusterRole) {
			if !equality.Semantic.DeepEqual(old.Rules, r.Rules) || !equality.Semantic.DeepEqual(old.Labels, r.Labels) || r.AggregationRule != nil {
				all(r)
			}
		},
	})
	return &loop.Controller{
		Name: env.Name, Workers: 5, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{roles.Synced()},
		Reconcile: func(ctx context.Context, name string) (time.Duration, error) {
			role, ok := roles.Get("", name)
			if !ok || role.AggregationRule == nil {
				return 0, nil
			}
			rules, err := aggregate(role, roles.List(""))
			if err != nil || equality.Semantic.DeepEqual(rules, role.Rules) {
				return 0, err
			}
			return 0, applyRules(ctx, env.Door, name, rules)
		},
	}
}

// applyRules writes the rules by server-side apply, as upstream's controller does: the field manager is its name, and what others
// hold of the role is not touched.
func applyRules(ctx context.Context, door client.Writer, name string, rules []rbacv1.PolicyRule) error {
	body, err := json.Marshal(map[string]any{
		"apiVersion": rbacv1.SchemeGroupVersion.String(), "kind": "ClusterRole", "metadata": map[string]any{"name": name}, "rules": rules,
	})
	if err != nil {
		return err
	}
	force := true
	_, err = door.Patch(ctx, client.Ref{Resource: client.ClusterRoles, Name: name}, types.ApplyYAMLPatchType, body,
		metav1.PatchOptions{FieldManager: "clusterrole-aggregation-controller", Force: &force})
	return err
}

// aggregate is what role has to hold: the rules of the selected roles, by name, each once.
func aggregate(role *rbacv1.ClusterRole, all []*rbacv1.ClusterRole) ([]rbacv1.PolicyRule, error) {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b *rbacv1.ClusterRole) int { return cmp.Compare(a.Name, b.Name) })
	rules := []rbacv1.PolicyRule{}
	for i := range role.AggregationRule.ClusterRoleSelectors {
		sel, err := metav1.LabelSelectorAsSelector(&role.AggregationRule.ClusterRoleSelectors[i])
		if err != nil {
			return nil, err
		}
		for _, r := range all {
			if r.Name == role.Name || !sel.Matches(labels.Set(r.Labels)) {
				continue
			}
			for _, rule := range r.Rules {
				if !slices.ContainsFunc(rules, func(have rbacv1.PolicyRule) bool { return equality.Semantic.DeepEqual(have, rule) }) {
					rules = append(rules, rule)
				}
			}
		}
	}
	return rules, nil
}
