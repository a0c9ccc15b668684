package network

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// inZones are n endpoints of each zone, ready, as one group.
func inZones(n map[string]int) []*group {
	g := &group{}
	for _, zone := range slices.Sorted(maps.Keys(n)) {
		for range n[zone] {
			e := endpoints4(len(g.endpoints), 1, true)[0]
			if zone != "" {
				e.Zone = &zone
			}
			g.endpoints = append(g.endpoints, e)
		}
	}
	return []*group{g}
}

// told are how many endpoints each zone was given.
func told(groups []*group) map[string]int {
	out := map[string]int{}
	for _, g := range groups {
		for _, e := range g.endpoints {
			if e.Hints != nil {
				for _, z := range e.Hints.ForZones {
					out[z.Name]++
				}
			}
		}
	}
	return out
}

func none(string) *discoveryv1.EndpointHints { return nil }

func TestSpread(t *testing.T) {
	even := map[string]float64{"a": 1. / 3, "b": 1. / 3, "c": 1. / 3}
	for name, c := range map[string]struct {
		endpoints map[string]int
		shares    map[string]float64
		want      map[string]int
		why       string
	}{
		"each its own":         {map[string]int{"a": 2, "b": 2, "c": 2}, even, map[string]int{"a": 2, "b": 2, "c": 2}, ""},
		"one zone gives":       {map[string]int{"a": 6}, even, map[string]int{"a": 2, "b": 2, "c": 2}, ""},
		"by CPU":               {map[string]int{"a": 5, "b": 5}, map[string]float64{"a": .8, "b": .2}, map[string]int{"a": 8, "b": 2}, ""},
		"a little is let be":   {map[string]int{"a": 11, "b": 10, "c": 9}, even, map[string]int{"a": 10, "b": 10, "c": 10}, ""},
		"half is not enough":   {map[string]int{"a": 3, "b": 3, "c": 4}, even, map[string]int{"a": 3, "b": 3, "c": 4}, ""},
		"fewer than zones":     {map[string]int{"a": 1, "b": 1}, even, nil, tooFew + " (2 endpoints, 3 zones)"},
		"none":                 {nil, even, nil, tooFew + " (0 endpoints, 3 zones)"},
		"too uneven":           {map[string]int{"a": 2, "b": 2}, map[string]float64{"a": .75, "b": .23, "c": .02}, nil, tooUneven + " (4 endpoints, 3 zones)"},
		"a zone is not told":   {map[string]int{"a": 2, "b": 3, "": 1}, map[string]float64{"a": .5, "b": .5}, nil, noZone},
		"nodes are not clear":  {map[string]int{"a": 2, "b": 2}, nil, nil, nodesUnclear},
		"zone without an own":  {map[string]int{"a": 3, "b": 3}, even, map[string]int{"a": 2, "b": 2, "c": 2}, ""},
		"a zone without nodes": {map[string]int{"a": 2, "b": 2, "d": 2}, map[string]float64{"a": .5, "b": .5}, map[string]int{"a": 2, "b": 2, "d": 2}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			groups := inZones(c.endpoints)
			why := spread(groups, none, c.shares)
			if got := told(groups); why != c.why || why == "" && !maps.Equal(got, c.want) {
				t.Errorf("%v %q, want %v %q", got, why, c.want, c.why)
			}
		})
	}
}

// TestSpreadIsFair: no zone has half an endpoint too many while another has half a one too few and either lacks a whole one, and what
// is done once is not done again.
func TestSpreadIsFair(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	hinted := 0
	for range 3000 {
		shares, in, sum := map[string]float64{}, map[string]int{}, 0.0
		for i := range 2 + rng.IntN(4) {
			zone := fmt.Sprint("z", i)
			shares[zone] = 1 + 9*rng.Float64()
			sum += shares[zone]
			in[zone] = rng.IntN(20)
		}
		for zone := range shares {
			shares[zone] /= sum
		}
		groups := inZones(in)
		n := len(groups[0].endpoints)
		if why := spread(groups, none, shares); why != "" {
			if !strings.HasPrefix(why, tooFew) && !strings.HasPrefix(why, tooUneven) {
				t.Fatal(why)
			}
			continue
		}
		hinted++
		got := told(groups)
		zones, _ := allot(n, shares)
		most, least := 0.0, 0.0
		for zone, a := range zones {
			most, least = max(most, float64(got[zone])-a.desired), min(least, float64(got[zone])-a.desired)
		}
		if min(most, -least) >= 0.5 && max(most, -least) >= 1 {
			t.Errorf("%v of %v by %v: %f too many, %f too few", got, in, shares, most, -least)
		}
		had := map[string]*discoveryv1.EndpointHints{}
		for i := range groups[0].endpoints {
			e := &groups[0].endpoints[i]
			had[identity(e)] = e.Hints
		}
		again := inZones(in)
		if why := spread(again, func(id string) *discoveryv1.EndpointHints { return had[id] }, shares); why != "" {
			t.Fatal(why)
		}
		for i := range again[0].endpoints {
			if a, b := again[0].endpoints[i].Hints, groups[0].endpoints[i].Hints; a.ForZones[0] != b.ForZones[0] {
				t.Fatalf("%v by %v: a second look changes hints", in, shares)
			}
		}
	}
	if hinted < 1000 {
		t.Errorf("only %d had hints", hinted)
	}
}

// TestHintsOfTheUnready: an endpoint that is not ready has none and does not count.
func TestHintsOfTheUnready(t *testing.T) {
	groups := inZones(map[string]int{"a": 3, "b": 3})
	for _, i := range []int{0, 5} {
		*groups[0].endpoints[i].Conditions.Ready = true
		no := false
		groups[0].endpoints[i].Conditions.Ready, groups[0].endpoints[i].Hints = &no, forZone("a")
	}
	if why := spread(groups, none, map[string]float64{"a": .5, "b": .5}); why != "" || !maps.Equal(told(groups), map[string]int{"a": 2, "b": 2}) {
		t.Errorf("%q %v", why, told(groups))
	}
}

func TestShares(t *testing.T) {
	node := func(zone, cpu string, f ...func(n *corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}}}
		if zone != "" {
			n.Labels[corev1.LabelTopologyZone] = zone
		}
		if cpu != "" {
			n.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		for _, f := range f {
			f(n)
		}
		return n
	}
	unready := func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }
	plane := func(n *corev1.Node) { n.Labels["node-role.kubernetes.io/control-plane"] = "" }
	for name, c := range map[string]struct {
		nodes []*corev1.Node
		want  string
	}{
		"two zones":              {[]*corev1.Node{node("a", "2"), node("a", "1"), node("b", "1")}, "map[a:0.75 b:0.25]"},
		"one zone":               {[]*corev1.Node{node("a", "2"), node("a", "1")}, "map[]"},
		"no zone":                {[]*corev1.Node{node("a", "2"), node("b", "1"), node("", "1")}, "map[]"},
		"no CPU":                 {[]*corev1.Node{node("a", "2"), node("b", "")}, "map[]"},
		"what does not count":    {[]*corev1.Node{node("a", "2"), node("b", "2"), node("", "1", unready), node("c", "4", plane)}, "map[a:0.5 b:0.5]"},
		"none":                   {nil, "map[]"},
		"thousandths":            {[]*corev1.Node{node("a", "500m"), node("b", "1500m")}, "map[a:0.25 b:0.75]"},
		"the other is not ready": {[]*corev1.Node{node("a", "2"), node("b", "2", unready)}, "map[]"},
	} {
		if got := fmt.Sprint(sharesOf(c.nodes)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
