package proxy

import (
	"net/http"
	"time"

	"sampan.dev/internal/component"
	"sampan.dev/internal/component/zpage"
	"sampan.dev/internal/config"
)

// Face is what is served on the metrics' address: what the proxy tells of itself, the feature gates, /flagz and /statusz.
func (c *Config) Face(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", metrics)
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, r *http.Request) {
		metrics.ServeHTTP(w, r)
		component.Features{}.Write(w)
	})
	mux.Handle("/flagz", zpage.Flags(name, func() map[string]string { return c.Table().Values() }))
	mux.Handle("/statusz", zpage.Status(name, config.Version, time.Now(), []string{"/flagz", "/healthz", "/metrics", "/proxyMode", "/statusz"}))
	return mux
}
