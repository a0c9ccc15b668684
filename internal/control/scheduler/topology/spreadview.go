package topology

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"sampan.dev/internal/control/scheduler/plugin"
)

// spreadView is the counts that matter to one sort of pods.
type spreadView struct {
	key    string
	serial uint64
	used   uint64

	hard   []hard
	soft   []soft
	strict bool // nodes on which a label of a soft constraint is missing are left out of the scores
	areas  areas[spreadArea]
}

// hard is a constraint that must be met.
type hard struct {
	tally   *tally
	skew    int32
	domains int
	self    int32 // 1 when the pod counts itself
}

// soft is a constraint that is preferred to be met.
type soft struct {
	tally *tally
	skew  int32
	host  bool // over hosts: what counts is the pods on the node itself, whatever its name
}

// even is the view of pods that nothing matters to.
var even = &spreadView{}

// fill finds the counts of a new view.
func (p *PodTopologySpread) fill(v *spreadView, pod *plugin.Pod, list []constraint, all bool, places string) {
	keys := func(when corev1.UnsatisfiableConstraintAction) []string {
		var out []string
		for i := range list {
			if list[i].WhenUnsatisfiable == when {
				out = append(out, list[i].TopologyKey)
			}
		}
		return out
	}
	must, may := keys(corev1.DoNotSchedule), keys(corev1.ScheduleAnyway)
	for i := range list {
		c := &list[i]
		g := p.selected(pod.Namespace, c)
		if c.WhenUnsatisfiable == corev1.DoNotSchedule {
			h := hard{tally: g.tally(p.counting(pod, c, must, places)), skew: c.MaxSkew, domains: c.domains}
			if c.self {
				h.self = 1
			}
			v.hard = append(v.hard, h)
			continue
		}
		s := soft{skew: c.MaxSkew}
		required := may
		if !all {
			required = nil
		}
		s.tally = g.tally(p.counting(pod, c, required, places))
		s.host = c.TopologyKey == corev1.LabelHostname
		v.soft = append(v.soft, s)
	}
	v.strict = all
}

// selected is the group of the pods that a constraint counts. An empty selector counts none.
func (p *PodTopologySpread) selected(namespace string, c *constraint) *group {
	selector := c.selector
	return p.selecting(namespace+"/"+c.selectorText, func() *group {
		if selector.Empty() {
			return &group{namespaces: []string{namespace}, selects: func(*corev1.Pod) bool { return false }}
		}
		return &group{namespaces: []string{namespace}, selects: func(pod *corev1.Pod) bool {
			return pod.DeletionTimestamp == nil && pod.Namespace == namespace && selector.Matches(labels.Set(pod.Labels))
		}}
	})
}

// counting is the layout of a constraint: nodes count that have all the labels, and that the pod may go to as far as the
// constraint's policies say.
func (p *PodTopologySpread) counting(pod *plugin.Pod, c *constraint, required []string, places string) *layout {
	if !c.affinity && !c.taints {
		places = ""
	}
	required = slices.Compact(slices.Sorted(slices.Values(required)))
	key := strings.Join([]string{c.TopologyKey, strings.Join(required, ","), strconv.FormatBool(c.affinity), strconv.FormatBool(c.taints), places}, "|")
	affinity, taints := c.affinity, c.taints
	return p.layout(key, c.TopologyKey, func(n *plugin.Node) bool {
		for _, k := range required {
			if _, has := n.Labels[k]; !has {
				return false
			}
		}
		return (!affinity || pod.Selects(n)) && (!taints || pod.Tolerates(n))
	})
}

// version changes when nodes are numbered or counted anew.
func (v *spreadView) version() uint64 {
	n := v.serial<<32 + v.areas.resets
	for _, h := range v.hard {
		n += h.tally.layout.flips + h.tally.group.recounted
	}
	for _, s := range v.soft {
		n += s.tally.layout.flips + s.tally.group.recounted
	}
	return n
}

// place is where a node is as one constraint sees it: in a domain that it shares with others, whose pods are looked up when
// the area is judged; or alone in it, and then only the number of pods there matters.
type place struct {
	domain int32 // none: no such label; alone: one of its own
	count  int32 // in one of its own
}

const alone int32 = -2

// spreadArea is what a view needs to know of a node: a place for each hard and then for each soft constraint.
type spreadArea struct {
	places []place
	lacks  bool // a label of a soft constraint is missing
}

// area returns the area of a node, whose number is id.
func (v *spreadView) area(id int32) plugin.Area {
	key := v.areas.key[:0]
	put := func(p place) { key = binary.AppendVarint(binary.AppendVarint(key, int64(p.domain)), int64(p.count)) }
	for i := range v.hard {
		put(v.hard[i].place(id))
	}
	for i := range v.soft {
		put(v.soft[i].place(id))
	}
	n, known := v.areas.number(key)
	if known {
		return n
	}
	var a spreadArea
	for i := range v.hard {
		a.places = append(a.places, v.hard[i].place(id))
	}
	for i := range v.soft {
		p := v.soft[i].place(id)
		a.places = append(a.places, p)
		a.lacks = a.lacks || p.domain == none
	}
	v.areas.list = append(v.areas.list, a)
	return n
}

func (h *hard) place(id int32) place {
	l := h.tally.layout
	d := l.at(id)
	if d == none || !l.local() {
		return place{domain: d}
	}
	return place{alone, h.tally.in(d)}
}

func (s *soft) place(id int32) place {
	d := s.tally.layout.at(id)
	switch {
	case d == none:
		return place{domain: none}
	case s.host:
		return place{alone, s.tally.group.on(id)}
	case s.tally.layout.local():
		return place{alone, s.tally.in(d)}
	}
	return place{domain: d}
}

// filter judges an area: where there would be too many more pods than where there are fewest, there is no room.
func (v *spreadView) filter(a *spreadArea) plugin.Verdict {
	for i := range v.hard {
		h, at := &v.hard[i], a.places[i]
		if at.domain == none {
			return unlabeled
		}
		count := at.count
		if at.domain != alone {
			count = h.tally.in(at.domain)
		}
		least := int32(0)
		if h.tally.layout.living >= h.domains {
			least = h.tally.least()
		}
		if count+h.self-least > h.skew {
			return skewed
		}
	}
	return plugin.Verdict{}
}

// score rates areas against each other: the fewer pods in a domain the better, and a domain weighs the more, the more of its
// kind there are among these.
func (v *spreadView) score(list []plugin.Area, nodes []int32, scores []int64) {
	weights := v.weights(list, nodes)
	least, most := int64(math.MaxInt64), int64(0)
	for i, n := range list {
		a := &v.areas.list[n]
		if v.strict && a.lacks {
			continue
		}
		sum := 0.0
		for k := range v.soft {
			s, at := &v.soft[k], a.places[len(v.hard)+k]
			if at.domain == none {
				continue
			}
			count := at.count
			if at.domain != alone {
				count = s.tally.in(at.domain)
			}
			sum += float64(count)*weights[k] + float64(s.skew-1)
		}
		scores[i] = int64(math.Round(sum))
		least, most = min(least, scores[i]), max(most, scores[i])
	}
	for i, n := range list {
		switch {
		case v.strict && v.areas.list[n].lacks:
			scores[i] = 0
		case most == 0:
			scores[i] = plugin.MaxScore
		default:
			scores[i] = plugin.MaxScore * (most + least - scores[i]) / most
		}
	}
}

// weights returns what a pod weighs in the domains of each soft constraint.
func (v *spreadView) weights(list []plugin.Area, nodes []int32) []float64 {
	weights := make([]float64, len(v.soft))
	for k := range v.soft {
		size := int32(0)
		seen := map[int32]bool{}
		for i, n := range list {
			a := &v.areas.list[n]
			if v.strict && a.lacks {
				continue
			}
			switch at := a.places[len(v.hard)+k]; {
			case v.soft[k].host || at.domain == alone:
				size += nodes[i]
			case !seen[at.domain]:
				seen[at.domain] = true
				size++
			}
		}
		weights[k] = math.Log(float64(size + 2))
	}
	return weights
}
