package network

import (
	"sync"

	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/client/record"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// topology keeps the services that ask for topology aware hints in step with the nodes. It knows none, and does nothing, while no
// service asks.
//
// mu guards what it knows: shares are those of the nodes as long as known says so, and of has, for each service that asks and each
// family, why it has no hints, "" where it has.
type topology struct {
	nodes *cache.Informer[*corev1.Node]
	queue *loop.Queue
	mu    struct {
		sync.Mutex
		shares map[string]float64
		known  bool
		of     map[string]map[corev1.IPFamily]string
	}
}

func newTopology(nodes *cache.Informer[*corev1.Node], queue *loop.Queue) *topology {
	t := &topology{nodes: nodes, queue: queue}
	t.mu.of = map[string]map[corev1.IPFamily]string{}
	changed := func(*corev1.Node) { t.changed() }
	nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    changed,
		Delete: changed,
		Update: func(old, n *corev1.Node) {
			if countedOf(old) != countedOf(n) {
				t.changed()
			}
		},
	})
	return t
}

// changed has every service that asks looked at again.
func (t *topology) changed() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.known = false
	for key := range t.mu.of {
		t.queue.Add(key)
	}
}

// hint gives the endpoints of a service in one family their hints, and tells by an event when it begins or ceases to have some.
func (t *topology) hint(events *record.Recorder, svc *corev1.Service, family corev1.IPFamily, groups []*group, have []*discoveryv1.EndpointSlice) {
	key := loop.Key(svc)
	if !wantsHints(svc) {
		if was, asked := t.forget(key, family); asked && was == "" {
			disabled(events, svc, hintsOff, family)
		}
		return
	}
	had := map[string]*discoveryv1.EndpointHints{}
	for _, s := range have {
		for i := range s.Endpoints {
			had[identity(&s.Endpoints[i])] = s.Endpoints[i].Hints
		}
	}
	why := spread(groups, func(id string) *discoveryv1.EndpointHints { return had[id] }, t.shares(key))
	switch was, asked := t.set(key, family, why); {
	case asked && was == why:
	case why == "":
		events.Eventf(svc, corev1.EventTypeNormal, "TopologyAwareHintsEnabled", "%s, addressType: %s", hintsOn, family)
	default:
		disabled(events, svc, why, family)
	}
}

func disabled(events *record.Recorder, svc *corev1.Service, why string, family corev1.IPFamily) {
	events.Eventf(svc, corev1.EventTypeWarning, "TopologyAwareHintsDisabled", "%s, addressType: %s", why, family)
}

// shares are the nodes' as they are now; key is looked at again when they change.
func (t *topology) shares(key string) map[string]float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.of[key] == nil {
		t.mu.of[key] = map[corev1.IPFamily]string{}
	}
	if !t.mu.known {
		t.mu.shares, t.mu.known = sharesOf(t.nodes.List("")), true
	}
	return t.mu.shares
}

func (t *topology) set(key string, family corev1.IPFamily, why string) (was string, asked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, asked = t.mu.of[key][family] // which shares has made
	t.mu.of[key][family] = why
	return was, asked
}

func (t *topology) forget(key string, families ...corev1.IPFamily) (was string, asked bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range families {
		was, asked = t.mu.of[key][f]
		delete(t.mu.of[key], f)
	}
	if len(t.mu.of[key]) == 0 {
		delete(t.mu.of, key)
	}
	return was, asked
}
