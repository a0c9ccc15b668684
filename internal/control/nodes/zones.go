package nodes

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// zoneState is how much of a zone is down.
type zoneState string

const (
	zoneNormal  zoneState = "Normal"
	zonePartial zoneState = "PartialDisruption"
	zoneFull    zoneState = "FullDisruption"
)

const excludeDisruption = "node.kubernetes.io/exclude-disruption"

// zoneOf names the failure domain of a node.
func zoneOf(node *corev1.Node) string {
	pick := func(keys ...string) string {
		for _, k := range keys {
			if v, ok := node.Labels[k]; ok {
				return v
			}
		}
		return ""
	}
	zone := pick(corev1.LabelFailureDomainBetaZone, corev1.LabelTopologyZone)
	region := pick(corev1.LabelFailureDomainBetaRegion, corev1.LabelTopologyRegion)
	if zone == "" && region == "" {
		return ""
	}
	return region + ":\x00:" + zone
}

// countZones counts the nodes of each zone, and those that are not ready; nodes that are labelled to be left out are.
func countZones(all []*corev1.Node) (sizes, down map[string]int) {
	sizes, down = map[string]int{}, map[string]int{}
	for _, node := range all {
		if _, out := node.Labels[excludeDisruption]; out {
			continue
		}
		zone := zoneOf(node)
		sizes[zone]++
		if readiness(node) != corev1.ConditionTrue {
			down[zone]++
		}
	}
	return sizes, down
}

// zoneStates judges the zones of all nodes, and counts them.
func zoneStates(all []*corev1.Node, threshold float64) (states map[string]zoneState, sizes map[string]int) {
	states = map[string]zoneState{}
	sizes, down := countZones(all)
	for zone, n := range sizes {
		switch bad := down[zone]; {
		case bad == n:
			states[zone] = zoneFull
		case bad > 2 && float64(bad)/float64(n) >= threshold:
			states[zone] = zonePartial
		default:
			states[zone] = zoneNormal
		}
	}
	return states, sizes
}

// rates are evictions per second, by the state and size of a zone.
type rates struct {
	normal, secondary float64
	large             int // nodes above which a zone is large
}

// of returns the rate of a zone. Where every zone is down it is more likely that we are: then nothing is evicted.
func (r rates) of(state zoneState, size int, allDown bool) float64 {
	switch {
	case allDown:
		return 0
	case state == zonePartial && size > r.large:
		return r.secondary
	case state == zonePartial:
		return 0
	}
	return r.normal
}

func allFull(states map[string]zoneState) bool {
	for _, s := range states {
		if s != zoneFull {
			return false
		}
	}
	return true
}

// evictionQueue is the zone eviction queue: the nodes of one zone that are to get their NoExecute taints, in the order in which
// they failed, and a token bucket of size one whose rate follows the state of the zone. The controller's lock guards it.
type evictionQueue struct {
	rate   float64   // tokens per second; 0: no node is tainted
	tokens float64   // at the time of at; 1 at most
	at     time.Time // of the last refill
	nodes  []string
}

func newEvictionQueue(rate float64, now time.Time) *evictionQueue {
	return &evictionQueue{rate: rate, tokens: 1, at: now}
}

func (t *evictionQueue) refill(now time.Time) {
	t.tokens = min(1, t.tokens+now.Sub(t.at).Seconds()*t.rate)
	t.at = now
}

func (t *evictionQueue) set(rate float64, now time.Time) {
	t.refill(now)
	t.rate = rate
}

// pass asks for a token for a node, which is in the queue from its first call on. If the node has to wait, wait says how
// long; 0 means until the rate changes.
func (t *evictionQueue) pass(name string, now time.Time) (ok bool, wait time.Duration) {
	t.refill(now)
	i := slices.Index(t.nodes, name)
	if i < 0 {
		t.nodes = append(t.nodes, name)
		i = len(t.nodes) - 1
	}
	if t.rate == 0 {
		return false, 0
	}
	const slack = 1e-6 // timers and floating point
	missing := float64(i+1) - t.tokens
	if i == 0 && missing <= slack {
		t.tokens = max(0, t.tokens-1)
		t.nodes = t.nodes[1:]
		return true, 0
	}
	return false, max(time.Duration(missing/t.rate*float64(time.Second)), time.Millisecond)
}

// giveBack takes a token back that was not used: the node is the first of the queue again.
func (t *evictionQueue) giveBack(name string) {
	t.tokens = 1
	t.nodes = append([]string{name}, t.nodes...)
}

// leave takes a node out of the queue.
func (t *evictionQueue) leave(name string) {
	if i := slices.Index(t.nodes, name); i >= 0 {
		t.nodes = slices.Delete(slices.Clone(t.nodes), i, i+1)
	}
}
