package serve

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"sampan.dev/internal/stream"

	corev1 "k8s.io/api/core/v1"
)

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	s.session(w, r, func(ctx context.Context, pod *corev1.Pod, container string, io Stdio) (*url.URL, error) {
		return s.cfg.Host.Exec(ctx, pod, container, r.URL.Query()["command"], io)
	})
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) { s.session(w, r, s.cfg.Host.Attach) }

// session prepares an exec or attach with the runtime and joins the client to it. The runtime's address is for one use and
// never shown to the client.
func (s *Server) session(w http.ResponseWriter, r *http.Request, prepare func(context.Context, *corev1.Pod, string, Stdio) (*url.URL, error)) {
	q := r.URL.Query()
	io := Stdio{Stdin: q.Get("input") == "1", Stdout: q.Get("output") == "1", Stderr: q.Get("error") == "1", TTY: q.Get("tty") == "1"}
	if io.TTY {
		io.Stderr = false // a terminal has one output
	}
	if !io.Stdin && !io.Stdout && !io.Stderr {
		plain(w, http.StatusBadRequest, "you must specify at least 1 of stdin, stdout, stderr")
		return
	}
	pod := s.target(w, r)
	if pod == nil {
		return
	}
	to, err := prepare(r.Context(), pod, r.PathValue("container"), io)
	if err != nil {
		plain(w, http.StatusInternalServerError, err.Error())
		return
	}
	stream.Exec(w, r, stream.Hop{URL: to, Transport: s.runner}, stream.Options(io), s.fail)
}

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	ports, err := portsOf(r)
	if err != nil {
		plain(w, http.StatusBadRequest, err.Error())
		return
	}
	pod := s.target(w, r)
	if pod == nil {
		return
	}
	to, err := s.cfg.Host.PortForward(r.Context(), pod, ports)
	if err != nil {
		plain(w, http.StatusInternalServerError, err.Error())
		return
	}
	stream.PortForward(w, r, stream.Hop{URL: to, Transport: s.runner}, s.fail)
}

// portsOf reads the ports that a WebSocket client names in its request; SPDY clients name one per stream.
func portsOf(r *http.Request) ([]int32, error) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || strings.Contains(r.Header.Get("Sec-Websocket-Protocol"), "SPDY/3.1+") {
		return nil, nil
	}
	var out []int32
	for _, v := range r.URL.Query()["port"] {
		for one := range strings.SplitSeq(v, ",") {
			n, err := strconv.ParseUint(one, 10, 16)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("unable to parse %q as a port", one)
			}
			out = append(out, int32(n))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("query parameter \"port\" is required")
	}
	return out, nil
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.log.Debug("session failed", "path", r.URL.Path, "err", err)
	code := http.StatusInternalServerError
	if !stream.IsUpgrade(r) {
		code = http.StatusBadRequest
	}
	plain(w, code, err.Error())
}
