package preempt

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"

	"sampan.dev/internal/control/scheduler/plugin"
)

// hunt is what is known of the nodes for preemptors of one sort: those with one signature and one priority, to whom every filter says
// the same of a node as long as the node, its pods and the pods nominated for it stay what they are (Hands.Steady). The first of
// them pays for a look at all nodes; after that only nodes are looked at that have been touched, which the journal of
// DefaultPreemption names, or that are another version than before.
//
// It chooses as a hunt that begins with each pod does (TestHuntsKnowWhatTheyDid compares the two while pods come and go). It
// belongs to the scheduler's goroutine.
type hunt struct {
	steady uint64 // what Hands.Steady said
	used   uint64 // when it was last asked for, by the count of hunts
	seen   int    // touches it has taken in

	at        map[string]int32 // name -> index in prospects
	prospects []prospect
	order     []int32 // the prospects of the nodes at hand, in their order

	raw  []*policyv1.PodDisruptionBudget // in the order of names
	left []budget

	tries []int32      // room for the prospects that may help, those whose victims are least important first
	list  []*candidate // room for those that do
}

// prospect is what is known of one node.
type prospect struct {
	node *plugin.Node   // as of which; nil: nothing is known
	upTo int32          // the lowest priority up to which all pods would have to be evicted
	sums plugin.Verdict // what the resources say

	tried     bool
	guarded   bool // a budget is about one of the pods
	candidate candidate
	said      plugin.Verdict // that does not fit: what the filters say of the node without victims
}

// mostHunts is how many sorts of preemptors are remembered; of more, those asked for longest ago are forgotten.
const mostHunts = 4

// hunt returns the hunt for pods like pod, which is a new one for a pod that is like no other.
func (p *DefaultPreemption) hunt(pod *plugin.Pod) *hunt {
	fresh := func(steady uint64) *hunt {
		return &hunt{steady: steady, seen: p.touches(), at: map[string]int32{}}
	}
	if p.hands.Steady == nil {
		return fresh(0)
	}
	steady, ok := p.hands.Steady(pod)
	if !ok {
		return fresh(0)
	}
	p.hunted++
	key := sort{pod.Signature, priority(pod.Pod)}
	h := p.hunts[key]
	if h == nil || h.steady != steady || h.seen < p.floor || len(h.at) > 2*p.known+64 {
		if h == nil && len(p.hunts) >= mostHunts {
			p.forget()
		}
		h = fresh(steady)
		p.hunts[key] = h
	}
	for _, name := range p.touched[h.seen-p.floor:] {
		if i, known := h.at[name]; known {
			h.prospects[i].node = nil
		}
	}
	h.seen, h.used = p.touches(), p.hunted
	return h
}

// sort is the key of a hunt.
type sort struct {
	signature string
	priority  int32
}

// forget drops the hunt that was asked for longest ago.
func (p *DefaultPreemption) forget() {
	var oldest sort
	first := true
	for key, h := range p.hunts {
		if first || h.used < p.hunts[oldest].used {
			oldest, first = key, false
		}
	}
	delete(p.hunts, oldest)
}

// Touched implements plugin.Watcher: what is known of a node is no longer true.
func (p *DefaultPreemption) Touched(node string) {
	if len(p.hunts) == 0 {
		return
	}
	if len(p.touched) >= 4*p.known+1024 { // more than is worth following up
		half := len(p.touched) / 2
		p.touched = append(p.touched[:0], p.touched[half:]...)
		p.floor += half
	}
	p.touched = append(p.touched, node)
}

// touches counts the touches there have been.
func (p *DefaultPreemption) touches() int { return p.floor + len(p.touched) }

// survey brings what the sums say of the nodes at hand up to date, and puts into tries those where evicting may help.
func (h *hunt) survey(p *DefaultPreemption, pod *plugin.Pod, nodes []*plugin.Node) {
	if len(h.order) > len(nodes) {
		h.order = h.order[:len(nodes)]
	}
	h.tries = h.tries[:0]
	sorted := true
	for i, n := range nodes {
		if i >= len(h.order) {
			h.order = append(h.order, h.place(n.Name))
		} else if o := h.prospects[h.order[i]].node; o != n && (o == nil || o.Name != n.Name) {
			h.order[i] = h.place(n.Name)
		}
		pr := &h.prospects[h.order[i]]
		if pr.node != n {
			*pr = prospect{node: n}
			pr.upTo, pr.sums = p.sums(pod, n)
		}
		if pr.sums.Fits() {
			if k := len(h.tries); k > 0 && h.prospects[h.tries[k-1]].upTo > pr.upTo {
				sorted = false
			}
			h.tries = append(h.tries, h.order[i])
		}
	}
	if !sorted {
		slices.SortStableFunc(h.tries, func(a, b int32) int { return cmp.Compare(h.prospects[a].upTo, h.prospects[b].upTo) })
	}
}

// place returns the index of a node's prospect, giving it one.
func (h *hunt) place(name string) int32 {
	i, known := h.at[name]
	if !known {
		i = int32(len(h.prospects))
		h.prospects = append(h.prospects, prospect{})
		h.at[name] = i
	}
	return i
}

// guard takes in the disruption budgets as they are now.
func (h *hunt) guard(list []*policyv1.PodDisruptionBudget) {
	if len(list) == 0 && len(h.raw) == 0 {
		return
	}
	slices.SortFunc(list, func(a, b *policyv1.PodDisruptionBudget) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	if slices.Equal(list, h.raw) {
		return
	}
	// Where only their status has changed, nodes are as before that have none of their pods.
	alike := slices.EqualFunc(list, h.raw, func(a, b *policyv1.PodDisruptionBudget) bool {
		return a.UID == b.UID && a.Generation == b.Generation && a.Generation != 0
	})
	h.raw, h.left = list, budgets(list)
	for i := range h.prospects {
		if pr := &h.prospects[i]; pr.guarded || !alike {
			pr.tried = false
		}
	}
}

// try looks at the nodes where evicting may help until enough are found where it does, and returns those.
func (h *hunt) try(p *DefaultPreemption, pod *plugin.Pod, enough int, without plugin.Without, now time.Time) []*candidate {
	h.list = h.list[:0]
	kept := 0 // candidates that violate no budget
	for _, i := range h.tries {
		pr := &h.prospects[i]
		if !pr.tried {
			lower := p.lower(pr.node.Name, priority(pod.Pod))
			pr.candidate, pr.said = victims(pr.node, lower, h.left, without, now)
			pr.tried, pr.guarded = true, slices.ContainsFunc(lower, func(v *plugin.Pod) bool { return spoken(v.Pod, h.left) })
		}
		if !pr.said.Fits() || len(pr.candidate.victims) == 0 { // without victims it fits as it is: something has changed meanwhile
			continue
		}
		h.list = append(h.list, &pr.candidate)
		if pr.candidate.violations == 0 {
			kept++
		}
		if kept > 0 && len(h.list) >= enough {
			break
		}
	}
	return h.list
}

// said counts what is said of the nodes at hand, by reason; it is of use when evicting helps on none.
func (h *hunt) said(into map[string]int) {
	for _, i := range h.order {
		pr := &h.prospects[i]
		v := pr.sums
		if v.Fits() && pr.tried {
			v = pr.said
		}
		for _, reason := range v.Reasons {
			into[reason]++
		}
	}
}

// spoken reports whether any budget is about a pod.
func spoken(pod *corev1.Pod, list []budget) bool {
	for i := range list {
		if list[i].about(pod) {
			return true
		}
	}
	return false
}
