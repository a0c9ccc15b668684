package gc

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/api"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var (
	things = &api.Kind{Version: "v1", Kind: "Thing", Resource: "things", Namespaced: true}
	worlds = &api.Kind{Version: "v1", Kind: "World", Resource: "worlds"}
)

// thing makes a node from "name", "name<owner" or "name<owner!" (blocking), in namespace ns; an upper-case owner is a World.
func thing(ns, spec string, flags ...string) *node {
	name, owners, _ := strings.Cut(spec, "<")
	n := &node{kind: things, namespace: ns, name: name, uid: types.UID(name)}
	for _, o := range strings.Split(owners, ",") {
		if o == "" {
			continue
		}
		o, block := strings.CutSuffix(o, "!")
		kind := "Thing"
		if o == strings.ToUpper(o) {
			kind = "World"
		}
		n.owners = append(n.owners, metav1.OwnerReference{APIVersion: "v1", Kind: kind, Name: o, UID: types.UID(o), BlockOwnerDeletion: &block})
	}
	for _, f := range flags {
		n.dying = true
		n.foreground = n.foreground || f == "foreground"
		n.orphaning = n.orphaning || f == "orphan"
	}
	return n
}

func look(d due) string {
	var out []string
	for _, u := range d.look {
		out = append(out, string(u))
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

func TestGraph(t *testing.T) {
	g := newGraph()
	check := func(what string, d due, want string) {
		t.Helper()
		if got := look(d); got != want {
			t.Errorf("%s: look at %q, want %q", what, got, want)
		}
	}
	check("an owner", g.set(thing("a", "owner")), "")
	check("its dependent", g.set(thing("a", "child<owner!")), "")
	check("a dependent whose owner was not seen", g.set(thing("a", "early<late")), "early")
	check("the owner comes", g.set(thing("a", "late")), "")
	check("an owner in another namespace is not seen", g.set(thing("b", "abroad<owner")), "abroad")
	check("a cluster-scoped owner is seen from everywhere", g.set(&node{kind: worlds, name: "W", uid: "W"}), "")
	check("by a namespaced one", g.set(thing("b", "local<W")), "")
	check("nothing new", g.set(thing("a", "child<owner!")), "")
	check("the owner waits for its dependents", g.set(thing("a", "owner", "foreground")), "abroad child owner")
	if deps := g.dependents("owner", true); len(deps) != 1 || deps[0].name != "child" {
		t.Errorf("blocking: %v", deps)
	}
	if s := g.standing(thing("a", "x<owner"), thing("a", "x<owner").owners[0]); s != waiting {
		t.Errorf("standing %v", s)
	}
	check("the dependent stops blocking", g.set(thing("a", "child<owner")), "child owner")
	check("the dependent goes", g.remove("child"), "owner")
	check("the owner goes", g.remove("owner"), "abroad")
	check("twice", g.remove("owner"), "")
	d := g.set(thing("a", "late", "orphan"))
	if len(d.orphan) != 1 || len(d.look) != 0 {
		t.Errorf("orphaning: %+v", d)
	}
	if d = g.set(thing("a", "late", "orphan")); len(d.orphan) != 0 {
		t.Errorf("orphaning twice: %+v", d)
	}
	check("the dependent is let go", g.set(thing("a", "early")), "")
	check("and is not touched when the owner goes", g.remove("late"), "")
	if len(g.mu.dependents) != 2 { // of the gone owner and of W
		t.Errorf("dependents of %d owners", len(g.mu.dependents))
	}
	check("dependents go", g.remove("abroad"), "")
	check("dependents go", g.remove("local"), "")
	if len(g.mu.dependents) != 0 {
		t.Errorf("left: %v", g.mu.dependents)
	}
}

func TestMergeConditions(t *testing.T) {
	at, later := metav1.NewTime(time.Unix(1, 0)), metav1.NewTime(time.Unix(2, 0))
	have, changed := mergeConditions(nil, nil, at)
	if len(have) != 5 || !changed || have[0].Type != corev1.NamespaceDeletionDiscoveryFailure || have[4].Status != corev1.ConditionFalse {
		t.Fatalf("%+v", have)
	}
	left := &remaining{count: map[string]int{"pods.": 2, "deployments.apps": 1}, finalizers: map[string]int{}}
	have, changed = mergeConditions(have, left.conditions(), later)
	c := have[3]
	if !changed || c.Status != corev1.ConditionTrue || c.LastTransitionTime != later ||
		c.Message != "Some resources are remaining: deployments.apps has 1 resource instances, pods. has 2 resource instances" {
		t.Errorf("%+v", c)
	}
	if have[0].LastTransitionTime != at {
		t.Error("a condition moved that did not change")
	}
	if _, changed = mergeConditions(have, left.conditions(), at); changed {
		t.Error("changed by nothing")
	}
	if have, _ = mergeConditions(have, nil, at); have[3].Status != corev1.ConditionFalse || have[3].Reason != "ContentRemoved" {
		t.Errorf("%+v", have[3])
	}
}

func TestContents(t *testing.T) {
	pods := &api.Kind{Version: "v1", Kind: "Pod", Resource: "pods", Namespaced: true}
	kinds := api.NewKinds([]*api.Kind{
		things, worlds, pods,
		{Version: "v1", Kind: "Review", Resource: "reviews", Namespaced: true, Virtual: true, Verbs: []string{"create"}},
		{Group: "events.k8s.io", Version: "v1", Kind: "Event", Resource: "events", Namespaced: true, View: &api.View{}},
	})
	got := contents(kinds)
	if len(got) != 2 || got[0] != pods || got[1] != things {
		t.Errorf("%v", got)
	}
}
