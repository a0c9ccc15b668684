package scheduler

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// best returns the nodes that a look at all of them one by one finds best, and the outcome where there are none.
func best(p *profile, pod *plugin.Pod, s *snapshot) (map[string]bool, outcome) {
	out := outcome{nodes: len(s.nodes)}
	var fit []*plugin.Node
	for _, n := range s.nodes {
		if f, v := p.admit(pod, n, s); f != nil {
			out.reject(n, f, v)
		} else {
			fit = append(fit, n)
		}
	}
	if len(fit) == 0 {
		return nil, out
	}
	total := p.totals(pod, fit)
	most := slices.Max(total)
	nodes := map[string]bool{}
	for i, n := range fit {
		if total[i] == most {
			nodes[n.Name] = true
		}
	}
	return nodes, out
}

func names(by []plugin.Rejecting) []string {
	var out []string
	for _, p := range by {
		out = append(out, p.Name())
	}
	slices.Sort(out)
	return out
}

// Whatever happens to nodes and pods, a ranking chooses a node that a look at all nodes one by one finds best, and where that
// finds none it gives the same reasons; also where a plugin counts pods on other nodes.
func TestRankingChoosesAmongTheBest(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			differ(t, rand.New(rand.NewPCG(seed, seed)), DefaultProfile())
		})
		t.Run(fmt.Sprint(seed, " with an index"), func(t *testing.T) {
			lists, zone := DefaultProfile(), newAtMost(6, "zone")
			lists.Filters = append(lists.Filters, zone)
			lists.Scores = append(lists.Scores, Weighted{zone, 2})
			differ(t, rand.New(rand.NewPCG(seed, seed)), lists, zone)
		})
		t.Run(fmt.Sprint(seed, " with two indexes"), func(t *testing.T) {
			lists, zone, host := DefaultProfile(), newAtMost(6, "zone"), newAtMost(2, "kubernetes.io/hostname")
			lists.Filters = append(lists.Filters, zone, &everyNode{host})
			lists.Scores = append(lists.Scores, Weighted{zone, 2})
			differ(t, rand.New(rand.NewPCG(seed, seed)), lists, zone, host)
		})
	}
}

// everyNode is an atMost that cannot tell which nodes a change touches, but only that there was one.
type everyNode struct{ *atMost }

func (p *everyNode) Name() string          { return "EveryNode" }
func (p *everyNode) Sign(s *plugin.Signer) { s.Own("EveryNode", s.Pod().Labels["app"]) }
func (p *everyNode) Since(pod *plugin.Pod, version uint64) ([]string, uint64, bool) {
	now := uint64(len(p.journal))
	return nil, now, now == version
}

func differ(t *testing.T, dice *rand.Rand, lists Profile, indexes ...*atMost) {
	p := newProfile(lists)
	s := newSnapshot(p)
	alike := newRankings(p)
	kinds := randomPods(dice, 12)
	none := 0
	for step := range 1200 {
		name := fmt.Sprintf("n%02d", dice.IntN(25))
		switch dice.IntN(10) {
		case 0, 1:
			s.setNode(name, randomNode(dice, name))
		case 2:
			if dice.IntN(4) == 0 && s.byName[name] != nil {
				s.setNode(name, nil)
			}
		case 3:
			for uid := range s.placed { // any
				s.removePod(uid)
				break
			}
		case 4:
			for _, at := range s.placed { // any gets another label
				obj := at.pod.Pod.DeepCopy()
				obj.Labels["app"] = fmt.Sprint(dice.IntN(3))
				s.addPod(at.node, plugin.NewPod(obj))
				break
			}
		default:
			obj := kinds[dice.IntN(len(kinds))].DeepCopy()
			obj.UID = types.UID(fmt.Sprint(step))
			priority := int32(dice.IntN(3))
			obj.Spec.Priority = &priority
			pod := p.newPod(obj)
			for _, x := range indexes {
				x.recount(t, s)
			}
			if dice.IntN(8) == 0 && len(s.nodes) > 0 { // room is being made for some of them
				s.nominated.set(pod, s.nodes[dice.IntN(len(s.nodes))].Name)
				continue
			}
			for uid := range s.nominated.node {
				if dice.IntN(4) == 0 {
					s.nominated.drop(uid)
				}
			}
			got, out := rank(alike, pod, s, dice)
			want, why := best(p, pod, s)
			if want == nil {
				none++
				if got != "" || out.text != why.message() || !maps.EqualFunc(out.rejected, why.rejected, slices.Equal) || !reflect.DeepEqual(names(out.by), names(why.by)) {
					t.Fatalf("step %d: node %q, message %q by %v, want %q by %v", step, got, out.text, names(out.by), why.message(), names(why.by))
				}
				continue
			}
			if !want[got] {
				t.Fatalf("step %d: %q is not among the best, %v", step, got, slices.Sorted(maps.Keys(want)))
			}
			s.addPod(got, pod)
		}
	}
	if none == 0 {
		t.Error("there was always a node: half of the test was not run")
	}
}

// rank chooses a node by the ranking, from the first pod on.
func rank(alike *rankings, pod *plugin.Pod, s *snapshot, dice *rand.Rand) (string, outcome) {
	r := alike.of(pod)
	if node := r.choose(s, dice); node != "" {
		return node, outcome{}
	}
	out := r.outcome(s)
	out.rejected = r.reasons(s)
	return "", out
}

// reasons returns why each node is rejected, as of the last outcome.
func (r *ranking) reasons(s *snapshot) map[string][]string {
	out := make(map[string][]string, len(r.nodes))
	for i := range r.nodes {
		out[s.nodes[i].Name] = r.nodes[i].class.said.Reasons
	}
	return out
}

// unsigned is a filter that does not sign the pods of one app.
type unsigned struct{ *atMost }

func (unsigned) Sign(s *plugin.Signer) {
	if s.Pod().Labels["app"] == "odd" {
		s.Refuse()
	}
}

// A pod that a plugin does not sign is placed looking at nodes one by one, and has no ranking.
func TestUnsignedPodsHaveNoRanking(t *testing.T) {
	lists := DefaultProfile()
	lists.Filters = append(lists.Filters, unsigned{newAtMost(100, "zone")})
	p := newProfile(lists)
	s, alike, dice := newSnapshot(p), newRankings(p), rand.New(rand.NewPCG(1, 1))
	s.setNode("n", testNode("n", "4", "8Gi", label("zone", "1")))
	for i, want := range map[string]int{"odd": 0, "even": 1} {
		for k := range 3 {
			pod := p.newPod(testPod(fmt.Sprint(i, k), "100m", "", func(p *corev1.Pod) { p.Labels = map[string]string{"app": i} }))
			if out := alike.place(pod, s, dice); out.node != "n" {
				t.Errorf("%s: on %q: %s", i, out.node, out.text)
			}
			if len(alike.bySignature) != want {
				t.Errorf("%s: %d rankings, want %d", i, len(alike.bySignature), want)
			}
		}
		clear(alike.bySignature)
	}
}

func randomNode(dice *rand.Rand, name string) *corev1.Node {
	n := testNode(name, fmt.Sprint(1+dice.IntN(4)), fmt.Sprintf("%dGi", 1+dice.IntN(6)), label("zone", fmt.Sprint(dice.IntN(3))), label("kubernetes.io/hostname", name))
	n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("8")
	if dice.IntN(4) == 0 {
		taint("prefer", corev1.TaintEffectPreferNoSchedule)(n)
	}
	if dice.IntN(6) == 0 {
		taint("never", corev1.TaintEffectNoSchedule)(n)
	}
	if dice.IntN(8) == 0 {
		cordon(n)
	}
	if dice.IntN(3) == 0 {
		image("app:latest", int64(dice.IntN(900))<<20)(n)
	}
	return n
}

func randomPods(dice *rand.Rand, n int) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range n {
		p := testPod("p", "", "")
		if dice.IntN(4) > 0 {
			p = testPod("p", fmt.Sprintf("%dm", 50*dice.IntN(12)), fmt.Sprintf("%dMi", 100*dice.IntN(8)))
		}
		switch i % 6 {
		case 1:
			hostPort(80, "")(p)
		case 2:
			selector("zone", "1")(p)
		case 3:
			p.Spec.Tolerations = []corev1.Toleration{{Key: "never", Operator: corev1.TolerationOpExists}}
		case 4:
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
				{Weight: int32(1 + dice.IntN(50)), Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"2"}}}}},
				{Weight: int32(1 + dice.IntN(50)), Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{"0"}}}}},
			}}}
		case 5:
			selector("zone", "nowhere")(p)
		}
		p.Labels = map[string]string{"app": fmt.Sprint(i % 3)}
		if i%2 == 1 {
			topological(dice, p)
		}
		out = append(out, p)
	}
	return out
}

// topological gives a pod terms of affinity and constraints of spread.
func topological(dice *rand.Rand, p *corev1.Pod) {
	keys := []string{"zone", "kubernetes.io/hostname"}
	term := corev1.PodAffinityTerm{TopologyKey: keys[dice.IntN(2)], LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint(dice.IntN(3))}}}
	if p.Spec.Affinity == nil {
		p.Spec.Affinity = &corev1.Affinity{}
	}
	switch dice.IntN(4) {
	case 0:
		p.Spec.Affinity.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}}
	case 1:
		p.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}}
	case 2:
		p.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 10, PodAffinityTerm: term}}}
	}
	for i := range dice.IntN(3) {
		p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
			MaxSkew: int32(1 + dice.IntN(2)), TopologyKey: keys[i], LabelSelector: term.LabelSelector,
			WhenUnsatisfiable: []corev1.UnsatisfiableConstraintAction{corev1.DoNotSchedule, corev1.ScheduleAnyway}[dice.IntN(2)],
		})
	}
}

// Equals are chosen with equal chances.
func TestRankingBreaksTiesByDice(t *testing.T) {
	p := defaultProfile()
	s, alike, dice := newSnapshot(p), newRankings(p), rand.New(rand.NewPCG(1, 2))
	for i := range 4 {
		s.setNode(fmt.Sprint(i), testNode(fmt.Sprint(i), "4", "8Gi"))
	}
	got := map[string]int{}
	for range 4000 {
		got[alike.place(p.newPod(testPod("p", "1", "")), s, dice).node]++
	}
	for n, times := range got {
		if times < 800 || times > 1200 {
			t.Errorf("%s was chosen %d times of 4000", n, times)
		}
	}
}

// countingFit counts how often a filter is asked.
type countingFit struct {
	plugin.Fit
	asked *int
}

func (f countingFit) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	*f.asked++
	return f.Fit.Filter(pod, node)
}

// The first pods with a signature cost looks at every node; a further one costs a look at what changed since, and next to nothing
// in memory, however many nodes there are.
func TestCycleCostDoesNotGrowWithTheCluster(t *testing.T) {
	const nodes = 2000
	asked, lists := 0, DefaultProfile()
	lists.Filters[len(lists.Filters)-1] = countingFit{asked: &asked}
	p := newProfile(lists)
	s := newSnapshot(p)
	alike, dice := newRankings(p), rand.New(rand.NewPCG(1, 1))
	for i := range nodes {
		n := testNode(fmt.Sprint(i), "32", "256Gi")
		n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("110")
		s.setNode(n.Name, n)
	}
	pods := make([]*plugin.Pod, 3000)
	for i := range pods {
		pods[i] = p.newPod(testPod(fmt.Sprint(i), "100m", "100Mi"))
	}
	place := func(pod *plugin.Pod) { s.addPod(alike.place(pod, s, dice).node, pod) }
	for _, pod := range pods[:1000] {
		place(pod)
	}
	asked = 0
	next := 1000
	allocs := testing.AllocsPerRun(1000, func() { place(pods[next]); next++ })
	if looks := float64(asked) / float64(next-1000); looks > 1.1 {
		t.Errorf("%.2f looks at nodes per pod, want 1", looks)
	}
	if allocs > 4 {
		t.Errorf("%.1f allocations per pod", allocs)
	}
}

// A change costs one question for all pods that wait for the same reason, and a pass over the queue none.
func TestQueueCostDoesNotGrowWithThePods(t *testing.T) {
	q, now := newQueue(), testStart
	p := defaultProfile()
	s := newSnapshot(p)
	s.setNode("n", testNode("n", "50m", "1Gi"))
	alike, dice := newRankings(p), rand.New(rand.NewPCG(1, 1))
	for i := range 1000 {
		queued(q, now, fmt.Sprint(i))
		w := q.pop(now)
		q.returned(w, alike.place(w.pod, s, dice), now)
	}
	if len(q.groups) != 1 {
		t.Fatalf("%d groups of pods that are alike", len(q.groups))
	}
	before, after := s.setNode("n", testNode("n", "50m", "1Gi", label("a", "b")))
	c := plugin.Change{Event: plugin.NodeChanged, Node: after, Old: before}
	if allocs := testing.AllocsPerRun(100, func() { q.changed(c, now); q.flush(now); _ = q.next() }); allocs > 10 {
		t.Errorf("%.0f allocations per change", allocs)
	}
	if q.activeQ.Len() > 0 {
		t.Error("pods became active by a change that does not help")
	}
}
