package topology

import (
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan.dev/internal/control/scheduler/plugin"
)

// SpreadArgs are upstream's PodTopologySpreadArgs.
type SpreadArgs struct {
	// Default are the constraints of pods without any; their selectors follow from the pod's services and controller.
	Default []corev1.TopologySpreadConstraint
	// System says that Default is upstream's own: a node without a zone is spread over by its name all the same.
	System bool
}

// SystemDefault is upstream's default.
func SystemDefault() SpreadArgs {
	return SpreadArgs{System: true, Default: []corev1.TopologySpreadConstraint{
		{TopologyKey: corev1.LabelHostname, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 3},
		{TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.ScheduleAnyway, MaxSkew: 5},
	}}
}

// PodTopologySpread spreads pods that are alike over the domains of node labels. Make one with NewPodTopologySpread.
//
// It counts the pods that a constraint selects by the domains of its label (census). A view names the counts that matter to
// one sort of pods. It belongs to the scheduler's goroutine.
type PodTopologySpread struct {
	census
	args    SpreadArgs
	cluster Cluster

	views  map[string]*spreadView
	serial uint64
	epoch  uint64
	owners uint64 // the version of services and controllers that pods were looked at with
}

var (
	skewed    = plugin.Unschedulable("node(s) didn't match pod topology spread constraints")
	unlabeled = plugin.Unresolvable("node(s) didn't match pod topology spread constraints (missing required label)")
)

// NewPodTopologySpread returns a PodTopologySpread that knows of no node yet.
func NewPodTopologySpread(args SpreadArgs) *PodTopologySpread {
	return &PodTopologySpread{census: newCensus(), args: args, cluster: nowhere{}, views: map[string]*spreadView{}}
}

// Name implements plugin.Plugin.
func (*PodTopologySpread) Name() string { return "PodTopologySpread" }

// Connect gives it what it asks about services and controllers.
func (p *PodTopologySpread) Connect(c Cluster) { p.cluster = c }

// Epoch implements plugin.Dated.
func (p *PodTopologySpread) Epoch() uint64 {
	if len(p.args.Default) > 0 {
		if _, now := p.cluster.Versions(); now != p.owners {
			p.owners = now
			p.epoch++
		}
	}
	return p.epoch
}

// Sign implements plugin.Signed.
func (p *PodTopologySpread) Sign(s *plugin.Signer) {
	v := p.view(s.Pod())
	if v == even {
		return
	}
	v.areas.limit()
	s.Own(p.Name(), v.key)
	s.NodeSelector()
	s.NodeAffinity()
	s.Tolerations()
}

// Filter implements plugin.Filter.
func (p *PodTopologySpread) Filter(pod *plugin.Pod, node *plugin.Node) plugin.Verdict {
	v := p.view(pod)
	if len(v.hard) == 0 {
		return plugin.Verdict{}
	}
	return v.filter(&v.areas.list[v.area(p.id(node.Name))])
}

// Area implements plugin.Areal.
func (p *PodTopologySpread) Area(pod *plugin.Pod, node *plugin.Node) plugin.Area {
	v := p.view(pod)
	if v == even {
		return 0
	}
	return v.area(p.id(node.Name))
}

// FilterArea implements plugin.AreaFilter.
func (p *PodTopologySpread) FilterArea(pod *plugin.Pod, area plugin.Area) plugin.Verdict {
	v := p.view(pod)
	if len(v.hard) == 0 {
		return plugin.Verdict{}
	}
	return v.filter(&v.areas.list[area])
}

// Indifferent implements plugin.Indifferent.
func (p *PodTopologySpread) Indifferent(pod *plugin.Pod) bool { return len(p.view(pod).hard) == 0 }

// ScoreAreas implements plugin.AreaScore.
func (p *PodTopologySpread) ScoreAreas(pod *plugin.Pod, areas []plugin.Area, nodes []int32, scores []int64) {
	v := p.view(pod)
	if len(v.soft) == 0 {
		clear(scores)
		return
	}
	v.score(areas, nodes, scores)
}

// Since implements plugin.Index: all changes show in the areas, until nodes are numbered or counted anew.
func (p *PodTopologySpread) Since(pod *plugin.Pod, version uint64) ([]string, uint64, bool) {
	now := p.view(pod).version()
	return nil, now, now == version
}

// view returns what matters to pod; even when nothing does.
func (p *PodTopologySpread) view(pod *plugin.Pod) *spreadView {
	if len(pod.Spec.TopologySpreadConstraints) == 0 && len(p.args.Default) == 0 {
		return even
	}
	own := pod.View(1)
	if own.Of != nil && own.Epoch == p.epoch {
		return own.Of.(*spreadView)
	}
	v := p.find(pod)
	own.Epoch, own.Of = p.epoch, v
	return v
}

// constraint is one of a pod's, with all that is implied.
type constraint struct {
	corev1.TopologySpreadConstraint
	selector     labels.Selector
	affinity     bool // nodes that the pod's node affinity rejects do not count
	taints       bool // nodes whose taints the pod does not tolerate do not count
	domains      int  // at least so many, or the least is taken to be none
	self         bool // the pod itself is selected
	selectorText string
}

// constraints returns the pod's constraints, or the default ones with what selects the pod.
func (p *PodTopologySpread) constraints(pod *corev1.Pod) (list []constraint, all bool) {
	given, all := pod.Spec.TopologySpreadConstraints, true
	var common labels.Selector
	if len(given) == 0 {
		if given, all = p.args.Default, !p.args.System; len(given) == 0 {
			return nil, all
		}
		if common = p.cluster.Selector(pod); common.Empty() {
			return nil, all
		}
	}
	for _, one := range given {
		c := constraint{TopologySpreadConstraint: one, selector: common, affinity: true, domains: 1}
		if common == nil {
			var err error
			if c.selector, err = metav1.LabelSelectorAsSelector(one.LabelSelector); err != nil {
				continue // it was validated when the pod was written
			}
			c.selector = withKeys(c.selector, one.MatchLabelKeys, pod.Labels)
		}
		if one.MinDomains != nil {
			c.domains = int(*one.MinDomains)
		}
		if one.NodeAffinityPolicy != nil {
			c.affinity = *one.NodeAffinityPolicy == corev1.NodeInclusionPolicyHonor
		}
		if one.NodeTaintsPolicy != nil {
			c.taints = *one.NodeTaintsPolicy == corev1.NodeInclusionPolicyHonor
		}
		c.self = c.selector.Matches(labels.Set(pod.Labels))
		c.selectorText = plugin.SelectorKey(c.selector)
		list = append(list, c)
	}
	return list, all
}

// withKeys adds to a selector that the pod's values of some labels are required.
func withKeys(s labels.Selector, keys []string, of map[string]string) labels.Selector {
	own := labels.Set{}
	for _, k := range keys {
		if value, has := of[k]; has {
			own[k] = value
		}
	}
	requirements, selectable := s.Requirements()
	if len(own) == 0 || !selectable {
		return s
	}
	return labels.SelectorFromSet(own).Add(requirements...)
}

// find returns the view of pods like pod, making it when it is new.
func (p *PodTopologySpread) find(pod *plugin.Pod) *spreadView {
	list, all := p.constraints(pod.Pod)
	if len(list) == 0 {
		return even
	}
	places := plugin.PlacesKey(pod)
	var key strings.Builder
	for _, part := range []string{pod.Namespace, places, strconv.FormatBool(all)} {
		key.WriteString(strconv.Itoa(len(part)) + ":" + part)
	}
	for i := range list {
		c := &list[i]
		key.WriteString(" " + strings.Join([]string{c.TopologyKey, string(c.WhenUnsatisfiable), strconv.Itoa(int(c.MaxSkew)), strconv.Itoa(c.domains),
			strconv.FormatBool(c.affinity), strconv.FormatBool(c.taints), strconv.FormatBool(c.self), c.selectorText}, "|"))
	}
	v := p.views[key.String()]
	if v == nil {
		if len(p.views) >= mostViews {
			p.drop()
		}
		p.serial++
		v = &spreadView{key: key.String(), serial: p.serial, areas: newAreas[spreadArea]()}
		p.fill(v, pod, list, all, places)
		p.views[v.key] = v
	}
	p.serial++
	v.used = p.serial
	return v
}

// drop forgets half of the views, those found longest ago, with the counts that only they need.
func (p *PodTopologySpread) drop() {
	var uses []uint64
	for _, v := range p.views {
		uses = append(uses, v.used)
	}
	slices.Sort(uses)
	for key, v := range p.views {
		if v.used < uses[len(uses)/2] {
			delete(p.views, key)
		}
	}
	p.epoch++
	p.sweep(func(keep func(*tally)) {
		for _, v := range p.views {
			for _, l := range v.hard {
				keep(l.tally)
			}
			for _, l := range v.soft {
				keep(l.tally)
			}
		}
	})
}
