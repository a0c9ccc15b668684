package hub

import (
	"sampan.dev/internal/hub/usage"
	"sampan.dev/internal/hub/verb"
)

// newSources makes what answers reads of kinds that are not stored, and serves those kinds.
func (h *Hub) newSources() (map[string]verb.Source, error) {
	if h.cfg.ReadKubelet == nil {
		return nil, nil
	}
	u := usage.New(usage.Config{Door: h.own, Read: h.cfg.ReadKubelet, Log: h.log.With("component", "usage")})
	return u.Sources(), h.catalog.Add(usage.Kinds()...)
}
