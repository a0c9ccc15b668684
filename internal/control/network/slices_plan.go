package network

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// group is a set of endpoints that have their ports in common.
type group struct {
	ports     []discoveryv1.EndpointPort
	endpoints []discoveryv1.Endpoint
}

// slicePlan is what leads from the slices that are there to those that should be.
type slicePlan struct {
	create, update, remove []*discoveryv1.EndpointSlice
}

func (p *slicePlan) empty() bool { return len(p.create)+len(p.update)+len(p.remove) == 0 }

// slicing says how slices of one owner and family are made.
type slicing struct {
	most int // endpoints in a slice
	// fresh makes an empty slice without a name.
	fresh func(ports []discoveryv1.EndpointPort) *discoveryv1.EndpointSlice
	// touch brings labels and annotations of a copy of a slice up to date and reports whether that changed it.
	touch func(s *discoveryv1.EndpointSlice) bool
	// owned reports whether a slice belongs to the owner as it is now, not to an earlier one of its name.
	owned func(s *discoveryv1.EndpointSlice) bool
}

// planSlices writes as few slices as it can: slices keep the endpoints they have, those that change anyway take the new
// ones, then one that has room for all the rest, and only then are slices created. There is always at least one slice, be
// it empty.
func planSlices(have []*discoveryv1.EndpointSlice, want []*group, how slicing) slicePlan {
	var plan slicePlan
	byPorts := map[string][]*discoveryv1.EndpointSlice{}
	for _, s := range have {
		if how.owned(s) {
			key := portsKey(s.Ports)
			byPorts[key] = append(byPorts[key], s)
		} else {
			plan.remove = append(plan.remove, s)
		}
	}
	for _, g := range want {
		key := portsKey(g.ports)
		how.planGroup(&plan, byPorts[key], g)
		delete(byPorts, key)
	}
	for _, left := range byPorts {
		plan.remove = append(plan.remove, left...)
	}
	if len(have) == len(plan.remove) && len(plan.create) == 0 {
		how.placeholder(&plan)
	}
	recycle(&plan, how)
	sortSlices(plan.create, plan.update, plan.remove)
	return plan
}

// placeholder keeps or creates an empty slice, so that a watcher can tell "no endpoints" from "not looked at yet".
func (how slicing) placeholder(plan *slicePlan) {
	for i, s := range plan.remove {
		if len(s.Endpoints) == 0 && len(s.Ports) == 0 && how.owned(s) {
			plan.remove = slices.Delete(slices.Clone(plan.remove), i, i+1)
			if out := s.DeepCopy(); how.touch(out) {
				plan.update = append(plan.update, out)
			}
			return
		}
	}
	plan.create = append(plan.create, how.fresh(nil))
}

func (how slicing) planGroup(plan *slicePlan, have []*discoveryv1.EndpointSlice, g *group) {
	pool := newPool(g.endpoints)
	var changed, same []*discoveryv1.EndpointSlice
	for _, s := range have {
		kept := make([]discoveryv1.Endpoint, 0, len(s.Endpoints))
		differs := false
		for i := range s.Endpoints {
			if e, ok := pool.take(identity(&s.Endpoints[i])); ok {
				kept = append(kept, e)
				differs = differs || !sameEndpoint(&e, &s.Endpoints[i])
			} else {
				differs = true
			}
		}
		out := s.DeepCopy()
		touched := how.touch(out)
		switch {
		case differs && len(kept) == 0:
			plan.remove = append(plan.remove, s)
		case differs || touched:
			out.Endpoints = kept
			changed = append(changed, out)
		default:
			same = append(same, out)
		}
	}
	// Fill the fullest first, so that slices become full rather than many.
	slices.SortStableFunc(changed, func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(len(b.Endpoints), len(a.Endpoints)) })
	for _, s := range changed {
		pool.fill(s, how.most)
	}
	for pool.left() > 0 {
		if i := roomiest(same, pool.left(), how.most); i >= 0 {
			pool.fill(same[i], how.most)
			changed = append(changed, same[i])
			same = slices.Delete(same, i, i+1)
			continue
		}
		s := how.fresh(g.ports)
		pool.fill(s, how.most)
		plan.create = append(plan.create, s)
	}
	plan.update = append(plan.update, changed...)
}

// roomiest returns the slice that n endpoints fit into with the least room left, or -1.
func roomiest(have []*discoveryv1.EndpointSlice, n, most int) int {
	best, room := -1, most
	for i, s := range have {
		if left := most - len(s.Endpoints) - n; left >= 0 && left < room {
			best, room = i, left
		}
	}
	return best
}

// recycle turns pairs of a deletion and a creation into updates: one write and one event instead of two.
func recycle(plan *slicePlan, how slicing) {
	for len(plan.create) > 0 {
		i := slices.IndexFunc(plan.remove, how.owned)
		if i < 0 {
			return
		}
		gone := plan.remove[i]
		plan.remove = slices.Delete(slices.Clone(plan.remove), i, i+1)
		last := len(plan.create) - 1
		s := plan.create[last]
		plan.create = plan.create[:last]
		s.Name, s.ResourceVersion, s.UID = gone.Name, gone.ResourceVersion, gone.UID
		s.GenerateName = gone.GenerateName
		plan.update = append(plan.update, s)
	}
}

func sortSlices(lists ...[]*discoveryv1.EndpointSlice) {
	for _, l := range lists {
		slices.SortStableFunc(l, func(a, b *discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	}
}

// pool holds the endpoints that have no slice yet, in order.
type pool struct {
	order []string
	byID  map[string]discoveryv1.Endpoint
}

func newPool(endpoints []discoveryv1.Endpoint) *pool {
	p := &pool{byID: make(map[string]discoveryv1.Endpoint, len(endpoints))}
	for _, e := range endpoints {
		id := identity(&e)
		if _, ok := p.byID[id]; !ok {
			p.order = append(p.order, id)
		}
		p.byID[id] = e
	}
	return p
}

func (p *pool) left() int { return len(p.byID) }

func (p *pool) take(id string) (discoveryv1.Endpoint, bool) {
	e, ok := p.byID[id]
	delete(p.byID, id)
	return e, ok
}

func (p *pool) fill(s *discoveryv1.EndpointSlice, most int) {
	for len(p.order) > 0 && len(s.Endpoints) < most {
		if e, ok := p.take(p.order[0]); ok {
			s.Endpoints = append(s.Endpoints, e)
		}
		p.order = p.order[1:]
	}
}

// identity is what makes an endpoint the same one when other things about it change.
func identity(e *discoveryv1.Endpoint) string {
	addrs := slices.Sorted(slices.Values(e.Addresses))
	host, target := "", ""
	if e.Hostname != nil {
		host = *e.Hostname
	}
	if e.TargetRef != nil {
		target = e.TargetRef.Namespace + "/" + e.TargetRef.Name
	}
	return strings.Join(addrs, ",") + "|" + host + "|" + target
}

func sameEndpoint(a, b *discoveryv1.Endpoint) bool {
	ref := func(r *corev1.ObjectReference) corev1.ObjectReference {
		if r == nil {
			return corev1.ObjectReference{}
		}
		out := *r
		out.ResourceVersion = ""
		return out
	}
	return ref(a.TargetRef) == ref(b.TargetRef) &&
		apiequality.Semantic.DeepEqual(a.NodeName, b.NodeName) && apiequality.Semantic.DeepEqual(a.Zone, b.Zone) &&
		apiequality.Semantic.DeepEqual(a.Conditions, b.Conditions) && apiequality.Semantic.DeepEqual(a.Hints, b.Hints)
}

// portsKey is equal for equal sets of ports, in whatever order.
func portsKey(ports []discoveryv1.EndpointPort) string {
	keys := make([]string, len(ports))
	for i := range ports {
		p := &ports[i]
		keys[i] = fmt.Sprintf("%s/%s/%d/%s", value(p.Name), value(p.Protocol), value(p.Port), value(p.AppProtocol))
	}
	slices.Sort(keys)
	return strings.Join(keys, ",")
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
