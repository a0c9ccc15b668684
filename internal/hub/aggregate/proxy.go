package aggregate

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/catalog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var _ catalog.Backend = (*remote)(nil)

// discoveryIn bounds the documents that every client asks for: one slow server is not to hold all of them up.
const discoveryIn = 5 * time.Second

// Serve implements catalog.Backend: it hands the request on with what the hub knows of the user, and the answer back, upgraded
// connections and watches included. What it says itself is plain text, as upstream's.
func (r *remote) Serve(w http.ResponseWriter, req *http.Request, user api.User) error {
	at := r.spec.Load()
	switch {
	case !r.available.Load():
		return unavailable(w)
	case at.err != nil:
		http.Error(w, at.err.Error(), http.StatusInternalServerError)
		return nil
	}
	select {
	case <-r.services.Synced():
	case <-req.Context().Done():
		return req.Context().Err()
	}
	host, err := r.endpoint()
	if err != nil {
		r.of.cfg.Log.Debug("where an APIService leads", "apiservice", r.name, "error", err)
		return unavailable(w)
	}
	whole := req.Context()
	if strings.Count(strings.Trim(req.URL.Path, "/"), "/") == 2 {
		ctx, cancel := context.WithTimeout(whole, discoveryIn)
		defer cancel()
		req = req.WithContext(ctx)
	}
	if err := r.forward(w, req, host, at.transport, user); err != nil {
		if whole.Err() != nil {
			return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0)
		}
		r.of.cfg.Log.Debug("proxy", "apiservice", r.name, "to", host, "error", err)
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	}
	return nil
}

func unavailable(w http.ResponseWriter) error {
	http.Error(w, "service unavailable", http.StatusServiceUnavailable)
	return nil
}

// forward sends the request to host and the answer back. It fails only while there is none.
func (r *remote) forward(w http.ResponseWriter, req *http.Request, host string, rt http.RoundTripper, user api.User) (failed error) {
	p := &httputil.ReverseProxy{
		Transport:     rt,
		FlushInterval: -1, // watches are passed on as they come
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL = &url.URL{Scheme: "https", Host: host, Path: pr.In.URL.Path, RawPath: pr.In.URL.RawPath, RawQuery: pr.In.URL.RawQuery}
			pr.Out.Host = host
			pr.SetXForwarded()
			pr.Out.Header.Set("X-Forwarded-Uri", pr.In.URL.Path)
			pr.Out.Header.Del("Authorization") // the caller's credential is for the hub alone
			identify(pr.Out.Header, user)
			if id := w.Header().Get("Audit-Id"); id != "" {
				pr.Out.Header.Set("Audit-Id", id)
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			refuseRedirect(resp)
			for name := range resp.Header {
				w.Header().Del(name) // else it would be there twice
			}
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, _ *http.Request, err error) { failed = err },
	}
	p.ServeHTTP(w, req)
	return failed
}

// refuseRedirect keeps a server from sending clients, with their credentials for the hub, anywhere else.
func refuseRedirect(resp *http.Response) {
	if resp.StatusCode < 300 || resp.StatusCode > 399 || resp.Header.Get("Location") == "" {
		return
	}
	resp.Body.Close()
	text := []byte("the backend attempted to redirect this request, which is not permitted")
	resp.Status, resp.StatusCode = "502 Bad Gateway", http.StatusBadGateway
	resp.Header, resp.Body, resp.ContentLength = http.Header{}, io.NopCloser(bytes.NewReader(text)), int64(len(text))
}

// identify says who asks, in the headers that only a front proxy may send, and takes off what the client wrote there itself.
func identify(h http.Header, user api.User) {
	for name := range h {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Remote-") {
			delete(h, name)
		}
	}
	h.Set("X-Remote-User", user.Name)
	if user.UID != "" {
		h.Set("X-Remote-Uid", user.UID)
	}
	for _, g := range user.Groups {
		h.Add("X-Remote-Group", g)
	}
	for key, values := range user.Extra {
		for _, v := range values {
			h.Add("X-Remote-Extra-"+escapeKey(key), v)
		}
	}
}

// escapeKey writes a key of extra as part of a header's name: what may not stand there is percent-encoded (transport.headerKeyEscape).
func escapeKey(key string) string {
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; c == '%' || !token(c) {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// token reports whether a byte may stand in a header's name (RFC 7230).
func token(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
