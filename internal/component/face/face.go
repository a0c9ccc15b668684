package face

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/delegate"
	"sampan.dev/internal/client/remote"
	"sampan.dev/internal/component"
	"sampan.dev/internal/component/zpage"
	"sampan.dev/internal/config"
	"sampan.dev/internal/pki"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Server is what a component shows.
type Server struct {
	Config
	Name    string                      // the component's, for metrics and errors
	Contact component.Contact           // its own way to the API server
	Checks  map[string]func() error     // of /healthz, /livez and /readyz, by name
	Configz func() (key string, of any) // what /configz answers: {key: of}
	Flags   func() map[string]string    // what /flagz answers: the flags and their values
	Gates   *component.Gates            // what --feature-gates says; nil: nothing
	Metrics http.Handler                // beside the build's and the process's own; may be nil
	Log     *slog.Logger
}

// Run serves until ctx ends; it does nothing where the port is 0.
func (s *Server) Run(ctx context.Context) error {
	if s.Port == 0 {
		<-ctx.Done()
		return nil
	}
	pair, err := s.pair()
	if err != nil {
		return err
	}
	gate, err := s.gate(ctx)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", net.JoinHostPort(s.Bind.String(), strconv.Itoa(s.Port)))
	if err != nil {
		return fmt.Errorf("failed to create listener: %w", err)
	}
	srv := &http.Server{
		Handler: s.handler(gate), ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 90 * time.Second, MaxHeaderBytes: 1 << 16,
		TLSConfig: &tls.Config{GetCertificate: pair.GetCertificate, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		ErrorLog:  slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// pair is the certificate to show: that of the flags, that of the folder, or a self-signed one.
func (s *Server) pair() (*pki.Pair, error) {
	cert, key := s.CertFile, s.KeyFile
	if cert == "" && s.CertDir != "" {
		cert, key = filepath.Join(s.CertDir, "tls.crt"), filepath.Join(s.CertDir, "tls.key")
		if _, err := os.Stat(cert); err != nil {
			cert, key = "", ""
		}
	}
	if cert != "" {
		return pki.LoadPair(cert, key)
	}
	return pki.SelfSigned(s.Name, s.Bind)
}

// gate asks the API server on behalf of the port. The cluster's client authority is read once, from where the API server
// publishes it for extension servers.
func (s *Server) gate(ctx context.Context) (*delegate.Gate, error) {
	contact := s.Contact
	switch {
	case s.AuthzKubeconfig != "":
		contact = component.Contact{Kubeconfig: s.AuthzKubeconfig}
	case s.AuthKubeconfig != "":
		contact = component.Contact{Kubeconfig: s.AuthKubeconfig}
	}
	rc, err := contact.Config(s.Name)
	if err != nil {
		return nil, err
	}
	door, err := remote.New(rc)
	if err != nil {
		return nil, err
	}
	g := &delegate.Gate{Door: door, Roots: x509.NewCertPool()}
	if s.ClientCA != "" {
		if _, g.Roots, err = pki.ReadPool(s.ClientCA); err != nil {
			return nil, fmt.Errorf("--client-ca-file: %w", err)
		}
		return g, nil
	}
	if s.SkipLookup {
		return g, nil
	}
	m, err := published(ctx, door)
	switch {
	case err == nil:
		g.Roots.AppendCertsFromPEM([]byte(m.Data["client-ca-file"]))
	case s.Tolerate:
		s.Log.Warn("the cluster's client authority cannot be read; only tokens are believed on the secure port", "error", err)
	default:
		return nil, fmt.Errorf("unable to load configmap based request-header-client-ca-file: %w", err)
	}
	return g, nil
}

// published reads where the API server publishes its authorities. An API server that cannot be reached is waited for: the
// programs of a control plane start in any order. One that has just started may not know all roles yet, and refuses: it is asked
// again for a while.
func published(ctx context.Context, door client.Interface) (*corev1.ConfigMap, error) {
	starting := time.Now().Add(10 * time.Second)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		m, err := client.Get[*corev1.ConfigMap](ctx, door, client.ConfigMaps, "kube-system", "extension-apiserver-authentication")
		var answer apierrors.APIStatus
		refused := errors.As(err, &answer) && time.Now().After(starting)
		if err == nil || refused || ctx.Err() != nil {
			return m, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Server) handler(gate *delegate.Gate) http.Handler {
	mux := http.NewServeMux()
	for _, path := range []string{"/healthz", "/livez", "/readyz"} {
		mux.HandleFunc("GET "+path, s.health)
		mux.HandleFunc("GET "+path+"/{check}", s.health)
	}
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /configz", s.configz)
	mux.Handle("GET /flagz", zpage.Flags(s.Name, s.Flags))
	mux.Handle("GET /statusz", zpage.Status(s.Name, config.Version, time.Now(), []string{"/configz", "/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz"}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(s.AlwaysAllow, r.URL.Path) {
			user, ok := gate.Authenticate(r)
			if !ok {
				http.Error(w, "Unauthorized", http.StatusUnauthorized)
				return
			}
			allowed, err := gate.Authorize(r.Context(), user, authorizationv1.SubjectAccessReviewSpec{
				NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: r.URL.Path, Verb: "get"},
			})
			if err != nil {
				http.Error(w, "Internal Server Error: "+err.Error(), http.StatusInternalServerError)
				return
			}
			if !allowed {
				http.Error(w, fmt.Sprintf("Forbidden: User %q cannot get path %q", user.Name, r.URL.Path), http.StatusForbidden)
				return
			}
		}
		mux.ServeHTTP(w, r)
	})
}

// health answers upstream's form: "ok", or a line per check where one fails or ?verbose asks for them.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	only := r.PathValue("check")
	var text string
	failed := 0
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		if only != "" && name != only {
			continue
		}
		if err := s.Checks[name](); err != nil {
			failed++
			text += fmt.Sprintf("[-]%s failed: %v\n", name, err)
		} else {
			text += fmt.Sprintf("[+]%s ok\n", name)
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	switch _, verbose := r.URL.Query()["verbose"]; {
	case only != "" && s.Checks[only] == nil:
		http.NotFound(w, r)
	case failed > 0:
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, "%s%s check failed\n", text, r.URL.Path[1:])
	case verbose:
		fmt.Fprintf(w, "%s%s check passed\n", text, r.URL.Path[1:])
	default:
		fmt.Fprint(w, "ok")
	}
}

func (s *Server) configz(w http.ResponseWriter, _ *http.Request) {
	key, of := s.Configz()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{key: of})
}

var began = time.Now()

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	fmt.Fprintf(w, "# HELP kubernetes_build_info [BETA] A metric with a constant '1' value labeled by version.\n# TYPE kubernetes_build_info gauge\n"+
		"kubernetes_build_info{component=%q,git_version=%q} 1\n", s.Name, config.Version)
	fmt.Fprintf(w, "# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.\n# TYPE process_start_time_seconds gauge\n"+
		"process_start_time_seconds %d\n", began.Unix())
	component.Features{Gates: s.Gates}.Write(w)
	if s.Metrics != nil {
		s.Metrics.ServeHTTP(w, r)
	}
}
