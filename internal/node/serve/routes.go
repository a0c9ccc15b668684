package serve

import "net/http"

// health is what the health port serves.
func (s *Server) health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz)
	return mux
}

// readOnly is what the read-only port serves: nothing that acts, and nothing of what containers write.
func (s *Server) readOnly() http.Handler {
	mux := http.NewServeMux()
	s.tell(mux)
	return mux
}

// tell adds what is told of the node and its pods: on the secure port to those who may, on the read-only port to everybody.
func (s *Server) tell(mux *http.ServeMux) {
	mux.HandleFunc("/healthz", s.healthz)
	mux.HandleFunc("/healthz/{check}", s.healthz)
	for _, p := range []string{"/pods", "/pods/{$}"} {
		mux.HandleFunc("GET "+p, s.pods)
	}
	mux.HandleFunc("/stats/summary", s.summary)
	for path, h := range map[string]http.Handler{"/metrics": s.cfg.Metrics.Kubelet, "/metrics/resource": s.cfg.Metrics.Resource,
		"/metrics/cadvisor": s.cfg.Metrics.CAdvisor, "/metrics/probes": s.cfg.Metrics.Probes} {
		mux.Handle("GET "+path, orEmpty(h))
	}
}

// Handler is everything on the secure port, behind authentication and authorization.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.tell(mux)
	for _, p := range []string{"/runningpods", "/runningpods/{$}"} {
		mux.HandleFunc("GET "+p, s.runningPods)
	}
	mux.HandleFunc("GET /containerLogs/{ns}/{pod}/{container}", s.containerLogs)
	for _, m := range []string{"GET", "POST"} {
		mux.HandleFunc(m+" /exec/{ns}/{pod}/{container}", s.exec)
		mux.HandleFunc(m+" /exec/{ns}/{pod}/{uid}/{container}", s.exec)
		mux.HandleFunc(m+" /attach/{ns}/{pod}/{container}", s.attach)
		mux.HandleFunc(m+" /attach/{ns}/{pod}/{uid}/{container}", s.attach)
		mux.HandleFunc(m+" /portForward/{ns}/{pod}", s.portForward)
		mux.HandleFunc(m+" /portForward/{ns}/{pod}/{uid}", s.portForward)
	}
	mux.HandleFunc("POST /run/{ns}/{pod}/{container}", s.run)
	mux.HandleFunc("POST /run/{ns}/{pod}/{uid}/{container}", s.run)
	mux.HandleFunc("GET /configz", s.configz)
	for path, page := range s.cfg.Pages {
		mux.Handle("GET "+path, page)
	}
	mux.Handle("GET /logs/", http.StripPrefix("/logs/", http.FileServer(http.Dir(s.cfg.LogDir))))
	return s.auth.wrap(mux)
}

func orEmpty(h http.Handler) http.Handler {
	if h != nil {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	})
}
