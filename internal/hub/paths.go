package hub

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"sampan.dev/internal/hub/wire"
)

// path answers what is not a resource.
func (h *Hub) path(w *recorder, r *http.Request, x *exchange) error {
	p := r.URL.Path
	trimmed := strings.TrimSuffix(p, "/")
	if r.Method != http.MethodGet && (trimmed == "/version" || h.docs.byPath[trimmed] != nil || strings.HasPrefix(p, "/.well-known/") || strings.HasPrefix(p, "/openid/")) {
		return notAllowed(r) // the others do not look at the method
	}
	x.served = true
	switch {
	case healthPath(p):
		return h.health(w, r)
	case trimmed == "/version":
		if err := acceptable(r, []string{wire.TypeJSON}); err != nil {
			return err
		}
		return h.version(w, r)
	case trimmed == "/api", trimmed == "/apis", strings.HasPrefix(p, "/api/"), strings.HasPrefix(p, "/apis/"):
		return h.discovery(w, r, trimmed)
	case strings.HasPrefix(p, "/openapi/"):
		h.cfg.OpenAPI.ServeHTTP(w, r)
		return nil
	case trimmed == "/metrics":
		return h.metrics.serve(w, r)
	case p == "/.well-known/openid-configuration", p == "/openid/v1/jwks":
		return h.wellKnown(w, r)
	case strings.HasPrefix(p, "/debug/pprof"):
		return profile(w, r)
	case p == "/", p == "/index.html":
		return h.index(w)
	}
	x.served = false
	http.NotFound(w, r)
	return nil
}

// index lists the paths there are.
func (h *Hub) index(w http.ResponseWriter) error {
	paths := []string{"/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"}
	for _, k := range h.cfg.Kinds.All() {
		if k.Group != "" {
			paths = append(paths, "/apis/"+k.Group, "/apis/"+k.Group+"/"+k.Version)
		}
	}
	for _, c := range h.checks.all {
		if !c.Ready {
			paths = append(paths, "/healthz/"+c.Name, "/livez/"+c.Name)
		}
		if !c.Live {
			paths = append(paths, "/readyz/"+c.Name)
		}
	}
	slices.Sort(paths)
	data, err := json.MarshalIndent(map[string][]string{"paths": slices.Compact(paths)}, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(data) //nolint:errcheck // the client has gone
	return nil
}
