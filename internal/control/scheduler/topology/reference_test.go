package topology

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// world is a cluster that is looked at as a whole each time, without counts.
type world struct {
	nodes  map[string]*plugin.Node
	placed map[types.UID]on
	spaces map[string]labels.Set
	ns, wl uint64
}

type on struct {
	pod  *plugin.Pod
	node string
}

func (w *world) NamespaceLabels(name string) labels.Set { return w.spaces[name] }
func (w *world) Versions() (uint64, uint64)             { return w.ns, w.wl }
func (w *world) Selector(pod *corev1.Pod) labels.Selector {
	if app := pod.Labels["app"]; app != "" && app != "0" {
		return labels.SelectorFromSet(labels.Set{"app": app})
	}
	return labels.NewSelector()
}

func (w *world) everyPod(yield func(*plugin.Pod, string) bool) {
	for _, at := range w.placed {
		if !yield(at.pod, at.node) {
			return
		}
	}
}

// near counts the pods that of says on known nodes that share the value of a label with node.
func (w *world) near(node *plugin.Node, key string, of func(*plugin.Pod) int) (n int) {
	value, has := node.Labels[key]
	if !has {
		return 0
	}
	for _, at := range w.placed {
		if other := w.nodes[at.node]; other != nil && other.Known() {
			if v, has := other.Labels[key]; has && v == value {
				n += of(at.pod)
			}
		}
	}
	return n
}

func speak(terms []plugin.Term, pod *plugin.Pod, w *world) (n int) {
	for i := range terms {
		if terms[i].Matches(pod.Pod, w.NamespaceLabels) {
			n++
		}
	}
	return n
}

// affinity is InterPodAffinity's rule for one node.
func (w *world) affinity(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	t := pod.Terms
	if t == nil {
		t = &plugin.Terms{}
	}
	all := func(p *plugin.Pod) int {
		if len(t.Affinity) > 0 && speak(t.Affinity, p, w) == len(t.Affinity) {
			return 1
		}
		return 0
	}
	met, anywhere := true, 0
	for _, term := range t.Affinity {
		if _, has := node.Labels[term.TopologyKey]; !has {
			return notNear
		}
		met = met && w.near(node, term.TopologyKey, all) > 0
		for _, n := range w.nodes {
			if n.Known() {
				anywhere += w.near(n, term.TopologyKey, all)
			}
		}
	}
	if !met && (anywhere > 0 || all(pod) == 0) {
		return notNear
	}
	for _, term := range t.AntiAffinity {
		if w.near(node, term.TopologyKey, func(p *plugin.Pod) int { return speak([]plugin.Term{term}, p, w) }) > 0 {
			return tooNear
		}
	}
	for _, at := range w.placed {
		if at.pod.Terms == nil || w.nodes[at.node] == nil || !w.nodes[at.node].Known() {
			continue
		}
		for _, term := range at.pod.Terms.AntiAffinity {
			value, has := w.nodes[at.node].Labels[term.TopologyKey]
			mine, have := node.Labels[term.TopologyKey]
			if has && have && value == mine && term.Matches(pod.Pod, w.NamespaceLabels) {
				return unwanted
			}
		}
	}
	return plugin.Verdict{}
}

// liking is InterPodAffinity's raw score of one node.
func (w *world) liking(pod *plugin.Pod, node *plugin.Node) (sum int64) {
	for _, at := range w.placed {
		there := w.nodes[at.node]
		if there == nil || !there.Known() {
			continue
		}
		add := func(terms []plugin.Term, about *plugin.Pod, weight func(*plugin.Term) int64) {
			for i := range terms {
				value, has := there.Labels[terms[i].TopologyKey]
				mine, have := node.Labels[terms[i].TopologyKey]
				if has && have && value == mine && terms[i].Matches(about.Pod, w.NamespaceLabels) {
					sum += weight(&terms[i])
				}
			}
		}
		plus := func(t *plugin.Term) int64 { return int64(t.Weight) }
		minus := func(t *plugin.Term) int64 { return -int64(t.Weight) }
		if t := pod.Terms; t != nil {
			add(t.Likes, at.pod, plus)
			add(t.Dislikes, at.pod, minus)
		}
		if t := at.pod.Terms; t != nil {
			add(t.Affinity, pod, func(*plugin.Term) int64 { return 1 })
			add(t.Likes, pod, plus)
			add(t.Dislikes, pod, minus)
		}
	}
	return sum
}

func (w *world) likings(pod *plugin.Pod, nodes []*plugin.Node) []int64 {
	var raw []int64
	for _, n := range nodes {
		raw = append(raw, w.liking(pod, n))
	}
	least, most := slices.Min(raw), slices.Max(raw)
	out := make([]int64, len(raw))
	for i := range raw {
		if most > least {
			out[i] = int64(100 * (float64(raw[i]-least) / float64(most-least)))
		}
	}
	return out
}

// counted is how many pods a constraint counts on a node, and whether the node counts for it.
func (w *world) counted(pod *plugin.Pod, c *constraint, node *plugin.Node) int {
	if c.selector.Empty() {
		return 0
	}
	n := 0
	for _, at := range w.placed {
		if at.node == node.Name && at.pod.Namespace == pod.Namespace && at.pod.DeletionTimestamp == nil && c.selector.Matches(labels.Set(at.pod.Labels)) {
			n++
		}
	}
	return n
}

func counts(pod *plugin.Pod, c *constraint, node *plugin.Node) bool {
	return (!c.affinity || pod.Selects(node)) && (!c.taints || pod.Tolerates(node))
}

func hasAll(node *plugin.Node, list []constraint) bool {
	for i := range list {
		if !labelled(node, list[i].TopologyKey) {
			return false
		}
	}
	return true
}

// spread is PodTopologySpread's rule for one node.
func (w *world) spread(pod *plugin.Pod, list []constraint, node *plugin.Node) plugin.Verdict {
	list = only(list, func(c constraint) bool { return c.WhenUnsatisfiable == corev1.DoNotSchedule })
	for i := range list {
		c := &list[i]
		value, has := node.Labels[c.TopologyKey]
		if !has {
			return unlabeled
		}
		domains := map[string]int{}
		for _, n := range w.nodes {
			if n.Known() && hasAll(n, list) && counts(pod, c, n) {
				domains[n.Labels[c.TopologyKey]] += w.counted(pod, c, n)
			}
		}
		least := math.MaxInt32
		for _, n := range domains {
			least = min(least, n)
		}
		if len(domains) < c.domains {
			least = 0
		}
		self := 0
		if c.self {
			self = 1
		}
		if domains[value]+self-least > int(c.MaxSkew) {
			return skewed
		}
	}
	return plugin.Verdict{}
}

// spreads is PodTopologySpread's score of nodes that passed all filters.
func (w *world) spreads(pod *plugin.Pod, list []constraint, strict bool, nodes []*plugin.Node) []int64 {
	list = only(list, func(c constraint) bool { return c.WhenUnsatisfiable == corev1.ScheduleAnyway })
	out, left := make([]int64, len(nodes)), make([]bool, len(nodes))
	if len(list) == 0 {
		return out
	}
	kept := 0
	for i, n := range nodes {
		if left[i] = strict && !hasAll(n, list); !left[i] {
			kept++
		}
	}
	least, most := int64(math.MaxInt64), int64(0)
	for i, n := range nodes {
		if left[i] {
			continue
		}
		sum := 0.0
		for k := range list {
			c := &list[k]
			values := map[string]bool{}
			for j, other := range nodes {
				if !left[j] {
					values[other.Labels[c.TopologyKey]] = true
				}
			}
			size, count := len(values), 0
			if c.TopologyKey == corev1.LabelHostname {
				size, count = kept, w.counted(pod, c, n)
			} else {
				for _, other := range w.nodes {
					if other.Known() && other.Labels[c.TopologyKey] == n.Labels[c.TopologyKey] && labelled(other, c.TopologyKey) && (!strict || hasAll(other, list)) && counts(pod, c, other) {
						count += w.counted(pod, c, other)
					}
				}
			}
			if labelled(n, c.TopologyKey) {
				sum += float64(count)*math.Log(float64(size+2)) + float64(c.MaxSkew-1)
			}
		}
		out[i] = int64(math.Round(sum))
		least, most = min(least, out[i]), max(most, out[i])
	}
	for i := range out {
		switch {
		case left[i]:
			out[i] = 0
		case most == 0:
			out[i] = 100
		default:
			out[i] = 100 * (most + least - out[i]) / most
		}
	}
	return out
}

// Whatever happens to nodes and pods, the plugins say of every node what a look at the whole cluster says.
func TestCountsAreAsIfCountedAnew(t *testing.T) {
	said := map[string]int{}
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { follow(t, rand.New(rand.NewPCG(seed, seed)), said) })
	}
	for _, v := range []plugin.Verdict{notNear, tooNear, unwanted, skewed, unlabeled, {}} {
		if said[fmt.Sprint(v)] < 100 {
			t.Errorf("%q was said %d times: the clusters are not random enough", v.Reasons, said[fmt.Sprint(v)])
		}
	}
}

func follow(t *testing.T, dice *rand.Rand, said map[string]int) {
	w := &world{nodes: map[string]*plugin.Node{}, placed: map[types.UID]on{}, spaces: map[string]labels.Set{"a": {"team": "x"}, "b": {"team": "y"}}}
	args := SystemDefault()
	if dice.IntN(3) == 0 {
		args = SpreadArgs{Default: []corev1.TopologySpreadConstraint{{TopologyKey: "zone", MaxSkew: 1, WhenUnsatisfiable: corev1.DoNotSchedule}, {TopologyKey: "rack", MaxSkew: 2, WhenUnsatisfiable: corev1.ScheduleAnyway}}}
	}
	affinity, spread := NewInterPodAffinity(AffinityArgs{HardPodAffinityWeight: 1}), NewPodTopologySpread(args)
	indexes := []plugin.Surveyor{affinity, spread}
	affinity.Connect(w)
	spread.Connect(w)
	for _, x := range indexes {
		x.Placed(w.everyPod)
	}
	tell := func(pod *plugin.Pod, node string, sign int) {
		n := w.nodes[node]
		if n == nil {
			n = plugin.NewNode(node)
		}
		if n = n.WithPod(pod); sign < 0 {
			n = n.WithoutPod(pod).WithoutPod(pod)
		}
		if w.nodes[node] = n; !n.Known() && n.Empty() {
			delete(w.nodes, node)
		}
		for _, x := range indexes {
			x.Pod(pod, n, sign)
		}
	}
	var signer plugin.Signer
	var kinds []*corev1.Pod
	for range 10 {
		kinds = append(kinds, somePod(dice))
	}
	for step := range 500 {
		name := fmt.Sprint("n", dice.IntN(9))
		switch dice.IntN(9) {
		case 0, 1: // a node comes, changes, or goes
			before := w.nodes[name]
			if before == nil {
				before = plugin.NewNode(name)
			}
			obj := someNode(dice, name)
			if dice.IntN(5) == 0 {
				obj = nil
			}
			after := before.With(obj)
			if w.nodes[name] = after; !after.Known() && after.Empty() {
				delete(w.nodes, name)
			}
			for _, x := range indexes {
				x.Node(before, after)
			}
		case 2: // a pod goes
			for uid, at := range w.placed {
				delete(w.placed, uid)
				tell(at.pod, at.node, -1)
				break
			}
		case 3: // a pod gets other labels, or is on its way out
			for uid, at := range w.placed {
				obj := at.pod.Pod.DeepCopy()
				obj.Labels["app"] = fmt.Sprint(dice.IntN(3))
				if dice.IntN(3) == 0 {
					obj.DeletionTimestamp = &metav1.Time{}
				}
				tell(at.pod, at.node, -1)
				w.placed[uid] = on{at.pod.Renewed(obj), at.node}
				tell(w.placed[uid].pod, at.node, +1)
				break
			}
		case 4:
			if dice.IntN(10) == 0 {
				w.spaces["b"] = labels.Set{"team": []string{"x", "y"}[dice.IntN(2)]}
				w.ns++
			}
			if dice.IntN(20) == 0 {
				affinity.drop()
				spread.drop()
			}
		default:
			obj := kinds[dice.IntN(len(kinds))].DeepCopy()
			obj.UID = types.UID(fmt.Sprint(step))
			pod := plugin.NewPod(obj)
			affinity.Epoch()
			spread.Epoch()
			signer.Sign(pod, []plugin.Signed{affinity, spread})
			compare(t, w, affinity, spread, pod, said)
			w.placed[obj.UID] = on{pod, name}
			tell(pod, name, +1)
		}
	}
}

// compare asks the plugins and the whole cluster about every node.
func compare(t *testing.T, w *world, affinity *InterPodAffinity, spread *PodTopologySpread, pod *plugin.Pod, said map[string]int) {
	t.Helper()
	list, strict := spread.constraints(pod.Pod)
	var fit []*plugin.Node
	for _, n := range w.nodes {
		if !n.Known() {
			continue
		}
		want, got := w.affinity(pod, n), affinity.Filter(pod, n)
		if !got.Equal(want) {
			t.Fatalf("affinity of %s: %v, want %v\n%v\n%v", n.Name, got, want, pod.Spec.Affinity, n.Labels)
		}
		said[fmt.Sprint(want)]++
		wantSpread, got := w.spread(pod, list, n), spread.Filter(pod, n)
		if !got.Equal(wantSpread) {
			t.Fatalf("spread over %s: %v, want %v\n%v\n%v", n.Name, got, wantSpread, pod.Spec.TopologySpreadConstraints, n.Labels)
		}
		said[fmt.Sprint(wantSpread)]++
		if want.Fits() && wantSpread.Fits() {
			fit = append(fit, n)
		}
	}
	if len(fit) == 0 {
		return
	}
	for name, of := range map[string]struct {
		score plugin.AreaScore
		want  []int64
	}{"affinity": {affinity, w.likings(pod, fit)}, "spread": {spread, w.spreads(pod, list, strict, fit)}} {
		areas, ones, got := make([]plugin.Area, len(fit)), make([]int32, len(fit)), make([]int64, len(fit))
		for i, n := range fit {
			areas[i], ones[i] = of.score.Area(pod, n), 1
		}
		of.score.ScoreAreas(pod, areas, ones, got)
		if !slices.Equal(got, of.want) {
			t.Fatalf("%s scores %v, want %v\n%v\n%v", name, got, of.want, pod.Spec.TopologySpreadConstraints, pod.Spec.Affinity)
		}
	}
}

func someNode(dice *rand.Rand, name string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for key, value := range map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprint(dice.IntN(3)), "zone": fmt.Sprint(dice.IntN(2)), "rack": fmt.Sprint(dice.IntN(5))} {
		if dice.IntN(12) > 0 {
			n.Labels[key] = value
		}
	}
	if dice.IntN(20) == 0 {
		n.Labels[corev1.LabelHostname] = "shared"
	}
	if dice.IntN(6) == 0 {
		n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}
	}
	return n
}

var someKeys = []string{corev1.LabelHostname, corev1.LabelHostname, "zone", "rack", corev1.LabelTopologyZone}

func somePod(dice *rand.Rand) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: []string{"a", "b"}[dice.IntN(2)], Name: "p", Generation: 1, Labels: map[string]string{"app": fmt.Sprint(dice.IntN(3))}}}
	if dice.IntN(5) == 0 {
		p.Spec.NodeSelector = map[string]string{"zone": "1"}
	}
	if dice.IntN(4) == 0 {
		p.Spec.Tolerations = []corev1.Toleration{{Key: "k", Operator: corev1.TolerationOpExists}}
	}
	terms := func() (out []corev1.PodAffinityTerm) {
		for range 1 + dice.IntN(2) {
			t := corev1.PodAffinityTerm{TopologyKey: someKeys[dice.IntN(len(someKeys))], LabelSelector: someSelector(dice, p)}
			switch dice.IntN(5) {
			case 0:
				t.Namespaces = []string{"b"}
			case 1:
				t.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"team": "x"}}
			case 2:
				t.NamespaceSelector = &metav1.LabelSelector{}
			}
			out = append(out, t)
		}
		return out
	}
	weighted := func() (out []corev1.WeightedPodAffinityTerm) {
		for _, t := range terms() {
			out = append(out, corev1.WeightedPodAffinityTerm{Weight: int32(1 + dice.IntN(9)), PodAffinityTerm: t})
		}
		return out
	}
	if dice.IntN(2) == 0 {
		p.Spec.Affinity = &corev1.Affinity{}
		switch dice.IntN(5) {
		case 0:
			p.Spec.Affinity.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms()}
		case 1:
			p.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms()}
		case 2:
			p.Spec.Affinity.PodAffinity = &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: weighted()}
		case 3:
			p.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: weighted()}
		case 4:
			p.Spec.Affinity.PodAffinity = &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms(), PreferredDuringSchedulingIgnoredDuringExecution: weighted()}
			p.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms(), PreferredDuringSchedulingIgnoredDuringExecution: weighted()}
		}
	}
	if dice.IntN(2) == 0 {
		for range 1 + dice.IntN(3) {
			c := corev1.TopologySpreadConstraint{TopologyKey: someKeys[dice.IntN(len(someKeys))], MaxSkew: int32(1 + dice.IntN(3)), WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: someSelector(dice, p)}
			if dice.IntN(2) == 0 {
				c.WhenUnsatisfiable = corev1.ScheduleAnyway
			} else if dice.IntN(3) == 0 {
				n := int32(1 + dice.IntN(4))
				c.MinDomains = &n
			}
			if dice.IntN(3) == 0 {
				c.MatchLabelKeys = []string{"app", "absent"}
			}
			policy := []corev1.NodeInclusionPolicy{corev1.NodeInclusionPolicyHonor, corev1.NodeInclusionPolicyIgnore}
			if dice.IntN(2) == 0 {
				c.NodeAffinityPolicy, c.NodeTaintsPolicy = &policy[dice.IntN(2)], &policy[dice.IntN(2)]
			}
			p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, c)
		}
	}
	return p
}

func someSelector(dice *rand.Rand, p *corev1.Pod) *metav1.LabelSelector {
	switch dice.IntN(8) {
	case 0:
		return nil
	case 1:
		return &metav1.LabelSelector{}
	case 2:
		return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"0"}}}}
	case 3, 4:
		return &metav1.LabelSelector{MatchLabels: map[string]string{"app": fmt.Sprint(dice.IntN(3))}}
	}
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": p.Labels["app"]}}
}
