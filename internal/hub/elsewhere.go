package hub

import (
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/aggregate"
	"sampan.dev/internal/hub/catalog"
	"sampan.dev/internal/hub/discovery"
	"sampan.dev/internal/hub/egress"
)

// newAggregator makes what hands requests on to other API servers; nil where there are no APIServices.
func (h *Hub) newAggregator() *aggregate.Aggregator {
	if h.cfg.Kinds.Resource(client.APIServices) == nil {
		return nil
	}
	c := aggregate.Config{
		Catalog: h.catalog, Door: h.own, Informers: h.set, Log: h.log.With("component", "aggregate"),
		Dial: h.cfg.Dial, Identity: h.cfg.ProxyClient,
	}
	switch {
	case c.Dial != nil:
	case h.cfg.Egress != nil:
		c.Dial = h.cfg.Egress.DialContext
	default:
		c.Dial = egress.New(egress.Config{Own: h.listeners}).DialContext
	}
	if h.cfg.Bootstrap {
		c.Ready = h.ready
	}
	return aggregate.New(c)
}

// elsewhere is what others answer for, as discovery tells it.
func elsewhere(s *catalog.Snapshot) []discovery.Elsewhere {
	var out []discovery.Elsewhere
	for gv, d := range s.Delegates() {
		out = append(out, discovery.Elsewhere{
			Group: gv.Group, GroupPriority: d.GroupPriority, VersionPriority: d.VersionPriority, APIVersionDiscovery: d.Discovery,
		})
	}
	return out
}
