package network

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Why a service that asks for topology aware hints has none; upstream's words.
const (
	hintsOn        = "Topology Aware Hints has been enabled"
	hintsOff       = "Topology Aware Hints has been disabled"
	nodesUnclear   = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"
	tooFew         = "Insufficient number of endpoints"
	noZone         = "One or more endpoints do not have a zone specified"
	tooUneven      = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold"
	mostOverloaded = 0.2 // how much more than its part of the traffic an endpoint may get
)

// wantsHints reports whether a service asks that the traffic of each zone go to as many of its endpoints as the zone has CPU.
func wantsHints(svc *corev1.Service) bool {
	mode, ok := svc.Annotations[corev1.DeprecatedAnnotationTopologyAwareHints]
	if !ok {
		mode = svc.Annotations[corev1.AnnotationTopologyMode]
	}
	return mode == "Auto" || mode == "auto"
}

// sharesOf says which part of the CPU of all nodes that are ready each zone has; nil where that is unknown of one of them, or there
// are not two zones. Nodes of the control plane do not count.
func sharesOf(nodes []*corev1.Node) map[string]float64 {
	cpu, total := map[string]float64{}, 0.0
	for _, n := range nodes {
		c := countedOf(n)
		switch {
		case !c.counts:
			continue
		case c.zone == "" || c.cpu == 0:
			return nil
		}
		cpu[c.zone] += float64(c.cpu)
		total += float64(c.cpu)
	}
	if len(cpu) < 2 {
		return nil
	}
	for zone := range cpu {
		cpu[zone] /= total
	}
	return cpu
}

// counted is what of a node its zone's share depends on.
type counted struct {
	counts bool
	zone   string
	cpu    int64 // in thousandths
}

func countedOf(n *corev1.Node) counted {
	for _, role := range []string{"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"} {
		if _, ok := n.Labels[role]; ok {
			return counted{}
		}
	}
	if !loop.NodeReady(n) {
		return counted{}
	}
	return counted{true, n.Labels[corev1.LabelTopologyZone], n.Status.Allocatable.Cpu().MilliValue()}
}

// allotment is how many endpoints a zone's traffic is to have.
type allotment struct {
	desired float64
	most    int
}

// allot divides n endpoints among zones by their shares, or says why that cannot be.
func allot(n int, shares map[string]float64) (map[string]allotment, string) {
	if shares == nil {
		return nil, nodesUnclear
	}
	if len(shares) > n {
		return nil, fmt.Sprintf("%s (%d endpoints, %d zones)", tooFew, n, len(shares))
	}
	least, sum := map[string]int{}, 0
	for zone, share := range shares {
		least[zone] = int(math.Ceil(share * float64(n) / (1 + mostOverloaded)))
		sum += least[zone]
	}
	if sum > n {
		return nil, fmt.Sprintf("%s (%d endpoints, %d zones)", tooUneven, n, len(shares))
	}
	out := map[string]allotment{}
	for zone, share := range shares {
		out[zone] = allotment{max(share*float64(n), float64(least[zone])), least[zone] + n - sum}
	}
	return out, ""
}

// spread gives the endpoints that are ready hints for one zone each, so that each zone has about the part of them that it has of
// the CPU; had are the hints of now, by the identity of an endpoint. They stay where all endpoints have one and no zone has too
// many; else an endpoint is for its own zone, and zones with too many give some away. It returns why there are no hints, "" if there are.
func spread(groups []*group, had func(identity string) *discoveryv1.EndpointHints, shares map[string]float64) (why string) {
	var ready []*discoveryv1.Endpoint
	for _, g := range groups {
		for i := range g.endpoints {
			e := &g.endpoints[i]
			if e.Hints = nil; value(e.Conditions.Ready) {
				ready = append(ready, e)
			}
		}
	}
	zones, why := allot(len(ready), shares)
	if why != "" {
		return why
	}
	if keep(ready, had, zones) {
		return ""
	}
	have := map[string]int{}
	for _, e := range ready {
		if value(e.Zone) == "" {
			return noZone
		}
		have[*e.Zone]++
	}
	gives, takes := moves(zones, have)
	for _, e := range ready {
		zone := *e.Zone
		if gives[zone] > 0 && len(takes) > 0 {
			gives[zone]--
			zone, takes = takes[0], takes[1:]
		}
		e.Hints = forZone(zone)
	}
	return ""
}

// keep gives endpoints the hints they had, if all of them had one of a zone that there is and no zone is given too many.
func keep(ready []*discoveryv1.Endpoint, had func(identity string) *discoveryv1.EndpointHints, zones map[string]allotment) bool {
	given, hints := map[string]int{}, make([]*discoveryv1.EndpointHints, len(ready))
	for i, e := range ready {
		h := had(identity(e))
		if h == nil || len(h.ForZones) != 1 {
			return false
		}
		zone := h.ForZones[0].Name
		if given[zone]++; given[zone] > zones[zone].most {
			return false
		}
		hints[i] = forZone(zone)
	}
	for i, e := range ready {
		e.Hints = hints[i]
	}
	return true
}

// moves says how many endpoints each zone gives away and which zones take one each, where zones have so many: from whoever has most
// too many to whoever has most too few, as long as that is at least half an endpoint on both sides and a whole one on one. Zones that
// are alike take turns by name.
func moves(zones map[string]allotment, have map[string]int) (gives map[string]int, takes []string) {
	gives = map[string]int{}
	surplus := map[string]float64{}
	for zone, a := range zones {
		surplus[zone] = float64(have[zone]) - a.desired
	}
	names := slices.Sorted(maps.Keys(surplus))
	bySurplus := func(a, b string) int { return cmp.Compare(surplus[a], surplus[b]) }
	for {
		taker, giver := slices.MinFunc(names, bySurplus), slices.MaxFunc(names, bySurplus)
		give, take := surplus[giver], -surplus[taker]
		if min(give, take) < 0.5 || max(give, take) < 1 {
			return gives, takes
		}
		gives[giver]++
		takes = append(takes, taker)
		surplus[giver]--
		surplus[taker]++
	}
}

func forZone(zone string) *discoveryv1.EndpointHints {
	return &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
}
