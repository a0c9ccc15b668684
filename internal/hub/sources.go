package hub

import (
	"maps"

	"sampan.dev/internal/hub/components"
	"sampan.dev/internal/hub/usage"
	"sampan.dev/internal/hub/verb"
)

// newSources makes what answers reads of kinds that are not stored, and serves those of them that are not in the list of all.
func (h *Hub) newSources() (map[string]verb.Source, error) {
	out := components.New(components.Config{Store: h.cfg.storesAnswer, Here: h.cfg.Components}).Sources()
	if h.cfg.ReadKubelet == nil {
		return out, nil
	}
	u := usage.New(usage.Config{Door: h.own, Read: h.cfg.ReadKubelet, Log: h.log.With("component", "usage")})
	maps.Copy(out, u.Sources())
	return out, h.catalog.Add(usage.Kinds()...)
}
