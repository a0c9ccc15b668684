package preempt

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// Args are upstream's DefaultPreemptionArgs: of the nodes where evicting may help so many are compared, at least.
type Args struct {
	MinCandidateNodesPercentage int
	MinCandidateNodesAbsolute   int
	Fit                         plugin.Fit // the profile's
}

// Defaults are upstream's.
func Defaults() Args { return Args{MinCandidateNodesPercentage: 10, MinCandidateNodesAbsolute: 100} }

// DefaultPreemption makes room for a pod by evicting pods of lower priority. Make one with New.
//
// Its index keeps the pods on each node, and what those of each priority ask for together, so that a node where all pods of
// lower priority together make no room is told by a few sums. What was found out about nodes for one pod holds for the next one
// like it (hunt). It belongs to the scheduler's goroutine, but for preempting.
type DefaultPreemption struct {
	args  Args
	hands Hands
	nodes map[string]*stock // with pods, by name; known or not
	known int               // nodes that are there
	all   map[int32]int     // pods on nodes, by priority
	look  func(types.UID) *plugin.Pod

	hunts   map[sort]*hunt
	hunted  uint64   // counts the hunts that were asked for
	touched []string // nodes of which what was known is no longer true, in the order of the changes; the oldest are forgotten
	floor   int      // how many there were before touched[0]

	preempting struct {
		sync.Mutex
		pods map[types.UID]bool // whose victims are being evicted at the moment
	}
}

// Hands are what it asks and what it does about the cluster.
type Hands struct {
	Budgets func() []*policyv1.PodDisruptionBudget
	// Evict marks a pod as disrupted and deletes it. It may be called on any goroutine.
	Evict func(ctx context.Context, victim, preemptor *corev1.Pod, node string) error
	// Steady reports whether what the filters say of a node, to pods with pod's signature, depends on nothing but the node, the pods on
	// it and the pods nominated for it, as long as version stays the same. Nil: it does not.
	Steady func(pod *plugin.Pod) (version uint64, ok bool)
	// Extenders have a say in which victims are taken; nil: nobody has.
	Extenders Extenders
}

// stock is the pods on one node.
type stock struct {
	pods   []*plugin.Pod
	levels []level // by priority, the lowest first
}

// level is the pods of one priority.
type level struct {
	priority int32
	sum      plugin.Resources
}

// New returns a DefaultPreemption that knows of no node yet.
func New(args Args) *DefaultPreemption {
	p := &DefaultPreemption{args: args, nodes: map[string]*stock{}, all: map[int32]int{}, hunts: map[sort]*hunt{}}
	p.preempting.pods = map[types.UID]bool{}
	return p
}

// Name implements plugin.Plugin.
func (*DefaultPreemption) Name() string { return "DefaultPreemption" }

// Connect gives it its hands.
func (p *DefaultPreemption) Connect(h Hands) { p.hands = h }

// Lookup implements plugin.Looker.
func (p *DefaultPreemption) Lookup(look func(types.UID) *plugin.Pod) { p.look = look }

// Node implements plugin.Index.
func (p *DefaultPreemption) Node(before, after *plugin.Node) {
	if before.Known() {
		p.known--
	}
	if after.Known() {
		p.known++
	}
}

// Pod implements plugin.Index.
func (p *DefaultPreemption) Pod(pod *plugin.Pod, node *plugin.Node, sign int) {
	p.Touched(node.Name)
	s := p.nodes[node.Name]
	if s == nil {
		s = &stock{}
		p.nodes[node.Name] = s
	}
	if sign > 0 {
		s.pods = append(s.pods, pod)
	} else if i := slices.IndexFunc(s.pods, func(o *plugin.Pod) bool { return o.UID == pod.UID }); i >= 0 {
		last := len(s.pods) - 1
		s.pods[i], s.pods[last] = s.pods[last], nil
		s.pods = s.pods[:last]
	}
	own := priority(pod.Pod)
	if p.all[own] += sign; p.all[own] == 0 {
		delete(p.all, own)
	}
	i, found := slices.BinarySearchFunc(s.levels, own, func(l level, own int32) int { return int(l.priority) - int(own) })
	if !found {
		s.levels = slices.Insert(s.levels, i, level{priority: own})
	}
	s.levels[i].sum.Add(&pod.Requests, int64(sign))
	if s.levels[i].sum.Pods == 0 {
		s.levels = slices.Delete(s.levels, i, i+1)
	}
	if len(s.pods) == 0 {
		delete(p.nodes, node.Name)
	}
}

// Since implements plugin.Index: nothing that filters or scores say depends on it.
func (*DefaultPreemption) Since(*plugin.Pod, uint64) ([]string, uint64, bool) { return nil, 0, true }

// PostFilter implements plugin.PostFilter.
func (p *DefaultPreemption) PostFilter(pod *plugin.Pod, nodes []*plugin.Node, without plugin.Without) plugin.Nomination {
	if why := p.ineligible(pod, nodes); why != "" {
		return plugin.Nomination{Message: "preemption: " + why}
	}
	list, said := p.candidates(pod, nodes, without, time.Now())
	if len(list) == 0 {
		return plugin.Nomination{Message: "preemption: " + p.message(said), Cancel: true}
	}
	if e := p.hands.Extenders; e != nil && e.Preempts(pod.Pod) {
		var err error
		if list, err = p.agreed(pod, list); err != nil {
			return plugin.Nomination{Message: "preemption: " + err.Error()}
		} else if len(list) == 0 {
			return plugin.Nomination{Message: "preemption: no candidate node for preemption"}
		}
	}
	chosen := best(list, time.Now())
	var evict []*corev1.Pod
	var all []types.UID
	for _, v := range chosen.victims {
		all = append(all, v.UID)
		if v.DeletionTimestamp == nil {
			evict = append(evict, v.Pod)
		}
	}
	return plugin.Nomination{
		Node:    chosen.node.Name,
		Message: fmt.Sprintf("preemption: found a potential placement for pod on node %s, preempting %d victims", chosen.node.Name, len(chosen.victims)),
		Victims: all,
		Evict:   p.evicting(pod.Pod, chosen.node.Name, evict),
	}
}

// ineligible says why a pod may not preempt others, or "".
func (p *DefaultPreemption) ineligible(pod *plugin.Pod, nodes []*plugin.Node) string {
	if policy := pod.Spec.PreemptionPolicy; policy != nil && *policy == corev1.PreemptNever {
		return "not eligible due to preemptionPolicy=Never."
	}
	p.preempting.Lock()
	busy := p.preempting.pods[pod.UID]
	p.preempting.Unlock()
	if busy {
		return "waiting for the preemption for this pod to be finished"
	}
	nominated := pod.Status.NominatedNodeName
	if nominated == "" || !slices.ContainsFunc(nodes, func(n *plugin.Node) bool { return n.Name == nominated }) {
		return ""
	}
	for _, v := range p.lower(nominated, priority(pod.Pod)) {
		if v.DeletionTimestamp == nil {
			continue
		}
		for _, c := range v.Status.Conditions {
			if c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == corev1.PodReasonPreemptionByScheduler {
				return "not eligible due to a terminating pod on the nominated node."
			}
		}
	}
	return ""
}

// lower returns the pods of lower priority on a node, as they are now.
func (p *DefaultPreemption) lower(node string, than int32) []*plugin.Pod {
	s := p.nodes[node]
	if s == nil {
		return nil
	}
	var out []*plugin.Pod
	for _, pod := range s.pods {
		if priority(pod.Pod) >= than {
			continue
		}
		if now := p.look(pod.UID); now != nil {
			pod = now
		}
		out = append(out, pod)
	}
	return out
}

// candidates returns the nodes on which evicting helps, not all of many, or what is said of how many nodes when there is none.
func (p *DefaultPreemption) candidates(pod *plugin.Pod, nodes []*plugin.Node, without plugin.Without, now time.Time) (list []*candidate, said map[string]int) {
	said = map[string]int{}
	if rest := p.known - len(nodes); rest > 0 {
		said["Preemption is not helpful for scheduling"] = rest
	}
	if !p.anyBelow(priority(pod.Pod)) {
		if len(nodes) > 0 {
			said[noVictims] = len(nodes)
		}
		return nil, said
	}
	h := p.hunt(pod)
	h.survey(p, pod, nodes)
	if len(h.tries) > 0 && p.hands.Budgets != nil {
		h.guard(p.hands.Budgets())
	}
	enough := max(len(nodes)*p.args.MinCandidateNodesPercentage/100, p.args.MinCandidateNodesAbsolute)
	if list = h.try(p, pod, enough, without, now); len(list) == 0 {
		h.said(said)
	}
	return list, said
}

// anyBelow reports whether any pod on any node has a lower priority.
func (p *DefaultPreemption) anyBelow(own int32) bool {
	for priority := range p.all {
		if priority < own {
			return true
		}
	}
	return false
}

// sums says whether the resources would suffice without all pods of lower priority, by what is known of each priority
// together, and up to which priority they would have to go.
func (p *DefaultPreemption) sums(pod *plugin.Pod, node *plugin.Node) (int32, plugin.Verdict) {
	s, own := p.nodes[node.Name], priority(pod.Pod)
	if s == nil || len(s.levels) == 0 || s.levels[0].priority >= own {
		return 0, plugin.Unresolvable(noVictims)
	}
	left := *node
	left.Requested.Scalar = maps.Clone(left.Requested.Scalar)
	upTo, v := int32(0), plugin.Verdict{}
	for _, l := range s.levels {
		if l.priority >= own {
			break
		}
		left.Requested.Add(&l.sum, -1)
		if upTo, v = l.priority, p.args.Fit.Filter(pod, &left); v.Fits() {
			break
		}
	}
	return upTo, v
}

// message is upstream's.
func (p *DefaultPreemption) message(said map[string]int) string {
	var parts []string
	for reason, n := range said {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return fmt.Sprintf("0/%d nodes are available: %s.", p.known, strings.Join(parts, ", "))
}

// evicting returns what evicts the victims: all beside each other but for the last, so that the pod is not tried again before
// the others are on their way. nil when there is nobody to evict any more.
func (p *DefaultPreemption) evicting(pod *corev1.Pod, node string, list []*corev1.Pod) func(context.Context) error {
	if len(list) == 0 || p.hands.Evict == nil {
		return nil
	}
	p.preempting.Lock()
	p.preempting.pods[pod.UID] = true
	p.preempting.Unlock()
	done := func() {
		p.preempting.Lock()
		delete(p.preempting.pods, pod.UID)
		p.preempting.Unlock()
	}
	return func(ctx context.Context) error {
		defer done()
		last := len(list) - 1
		errs := make([]error, last)
		var running sync.WaitGroup
		slots := make(chan struct{}, 16)
		for i, v := range list[:last] {
			running.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				errs[i] = p.hands.Evict(ctx, v, pod, node)
			})
		}
		running.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		done()
		return p.hands.Evict(ctx, list[last], pod, node)
	}
}
