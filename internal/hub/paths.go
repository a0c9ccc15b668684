package hub

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"sampan.dev/internal/hub/fairness"
	"sampan.dev/internal/hub/health"
	"sampan.dev/internal/hub/wire"
)

// ServePath implements rest.Paths.
func (h *Hub) ServePath(w http.ResponseWriter, r *http.Request) (known bool, err error) {
	p := r.URL.Path
	trimmed := strings.TrimSuffix(p, "/")
	if r.Method != http.MethodGet && trimmed != "/apis" && (trimmed == "/version" || h.docs.Get().Has(trimmed) || strings.HasPrefix(p, "/.well-known/") || strings.HasPrefix(p, "/openid/")) {
		return false, wire.NoSuchMethod(r.Method) // the others do not look at the method
	}
	switch {
	case health.IsPath(p):
		return true, h.checks.Serve(w, r)
	case trimmed == "/version":
		if err := wire.Acceptable(r, []string{wire.TypeJSON}); err != nil {
			return true, err
		}
		return true, h.version(w, r)
	case trimmed == "/api", trimmed == "/apis", strings.HasPrefix(p, "/api/"), strings.HasPrefix(p, "/apis/"):
		return true, h.docs.Get().Serve(w, r, trimmed)
	case strings.HasPrefix(p, "/openapi/"):
		h.openapi.Get().ServeHTTP(w, r)
		return true, nil
	case trimmed == "/metrics":
		return true, h.metrics.Serve(w, r)
	case p == "/.well-known/openid-configuration", p == "/openid/v1/jwks":
		return true, h.wellKnown(w, r)
	case h.cfg.Debug[trimmed] != nil:
		h.cfg.Debug[trimmed].ServeHTTP(w, r)
		return true, nil
	case h.fair != nil && strings.HasPrefix(p, fairness.DebugPath) && h.fair.Dumps()[trimmed] != nil:
		h.fair.Dumps()[trimmed].ServeHTTP(w, r)
		return true, nil
	case strings.HasPrefix(p, "/debug/pprof"):
		return true, health.Profile(w, r)
	case p == "/", p == "/index.html":
		return true, h.index(w)
	}
	http.NotFound(w, r)
	return false, nil
}

// index lists the paths there are.
func (h *Hub) index(w http.ResponseWriter) error {
	paths := []string{"/.well-known/openid-configuration", "/api", "/api/v1", "/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks", "/readyz", "/version"}
	for _, k := range h.catalog.Now().Kinds().All() {
		if k.Group != "" {
			paths = append(paths, "/apis/"+k.Group, "/apis/"+k.Group+"/"+k.Version)
		}
	}
	for gv := range h.catalog.Now().Delegates() {
		paths = append(paths, "/apis/"+gv.Group, "/apis/"+gv.String())
	}
	paths = append(paths, h.checks.Paths()...)
	slices.Sort(paths)
	data, err := json.MarshalIndent(map[string][]string{"paths": slices.Compact(paths)}, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(data) //nolint:errcheck // the client has gone
	return nil
}
