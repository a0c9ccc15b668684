package proxy

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// healthState is what the health and metrics handlers tell.
type healthState struct {
	eligible atomic.Bool // the node is not being deleted
	last     atomic.Pointer[time.Time]
	syncs    atomic.Int64
	nanos    atomic.Int64
	changes  atomic.Int64
}

func (h *healthState) updated(at time.Time, took time.Duration, changed int) {
	h.last.Store(&at)
	h.syncs.Add(1)
	h.nanos.Add(int64(took))
	h.changes.Add(int64(changed))
}

// HealthHandler serves what kube-proxy serves on :10256: /healthz (load balancers ask it: 503 while rules are missing or
// the node is being deleted) and /livez.
func (p *Proxy) HealthHandler() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, needEligible bool) {
		last := p.health.last.Load()
		ok := last != nil && (!needEligible || p.health.eligible.Load())
		body := map[string]any{"currentTime": time.Now(), "nodeEligible": p.health.eligible.Load()}
		if last != nil {
			body["lastUpdated"] = *last
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(body)
	}
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, true) })
	mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, false) })
	return mux
}

// MetricsHandler serves what kube-proxy serves on :10249: /proxyMode, /metrics and /healthz.
func (p *Proxy) MetricsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/proxyMode", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		fmt.Fprint(w, p.Mode())
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		h := &p.health
		var last float64
		if t := h.last.Load(); t != nil {
			last = float64(t.UnixNano()) / 1e9
		}
		fmt.Fprintf(w, "# HELP kubeproxy_sync_proxy_rules_last_timestamp_seconds The last time proxy rules were successfully synced\n# TYPE kubeproxy_sync_proxy_rules_last_timestamp_seconds gauge\nkubeproxy_sync_proxy_rules_last_timestamp_seconds %f\n", last)
		fmt.Fprintf(w, "# HELP kubeproxy_sync_proxy_rules_duration_seconds Time spent in syncing proxy rules\n# TYPE kubeproxy_sync_proxy_rules_duration_seconds summary\nkubeproxy_sync_proxy_rules_duration_seconds_sum %f\nkubeproxy_sync_proxy_rules_duration_seconds_count %d\n", time.Duration(h.nanos.Load()).Seconds(), h.syncs.Load())
		fmt.Fprintf(w, "# HELP kubeproxy_sync_proxy_rules_service_changes_total Cumulative number of proxy rules Service changes\n# TYPE kubeproxy_sync_proxy_rules_service_changes_total counter\nkubeproxy_sync_proxy_rules_service_changes_total %d\n", h.changes.Load())
	})
	return mux
}

// healthChecks serves the health check node ports: load balancers ask them which nodes have backends.
type healthChecks struct {
	log *slog.Logger

	mu      sync.Mutex
	servers map[string]*healthServer // by service
	wg      sync.WaitGroup
}

type healthServer struct {
	port  uint16
	local atomic.Int64
	srv   *http.Server
}

func newHealthChecks(log *slog.Logger) *healthChecks {
	return &healthChecks{log: log, servers: map[string]*healthServer{}}
}

// sync opens, updates and closes servers so that there is one for each of want.
func (c *healthChecks) sync(want map[string]Health) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for svc, s := range c.servers {
		if want[svc].Port != s.port {
			_ = s.srv.Close()
			delete(c.servers, svc)
		}
	}
	for svc, h := range want {
		s := c.servers[svc]
		if s == nil {
			if s = c.open(svc, h.Port); s == nil {
				continue
			}
			c.servers[svc] = s
		}
		s.local.Store(int64(h.Local))
	}
}

func (c *healthChecks) open(svc string, port uint16) *healthServer {
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		c.log.Error("cannot listen on a service's health check port", "service", svc, "err", err)
		return nil
	}
	s := &healthServer{port: port}
	namespace, name, _ := strings.Cut(svc, "/")
	s.srv = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := s.local.Load()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("X-Load-Balancing-Endpoint-Weight", fmt.Sprint(n))
		if n == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"service": map[string]string{"namespace": namespace, "name": name}, "localEndpoints": n, "serviceProxyHealthy": true})
	})}
	c.wg.Go(func() { _ = s.srv.Serve(l) })
	return s
}

func (c *healthChecks) close() {
	c.sync(nil)
	c.wg.Wait()
}
