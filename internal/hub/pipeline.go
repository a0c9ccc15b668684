package hub

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/wire"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	requestTimeout = 60 * time.Second // of everything that is not a watch or a stream
	maxAuditID     = 64
)

// exchange is one request on its way through the stages.
type exchange struct {
	route  route
	kind   *api.Kind        // what the route names; nil for plain paths and for what is not served
	sub    *api.Subresource // nil for none, and for one that the kind does not have
	user   api.User
	caller api.User // before impersonation
	id     string
	came   time.Time
	served bool  // it asks for something that there is, and may
	err    error // what it was refused with
	held   int64 // bytes of memory taken for its body
	answer int64 // and for its answer
}

// ServeHTTP takes a request through the stages.
func (h *Hub) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	x := &exchange{came: time.Now(), id: auditID(r)}
	w := &recorder{ResponseWriter: rw}
	w.Header().Set("Audit-Id", x.id)
	w.Header().Set("Cache-Control", "no-cache, private")
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http's own sentinel
				h.finish(w, r, x)
				panic(p)
			}
			h.log.Error("panic while serving", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			x.err = apierrors.NewInternalError(fmt.Errorf("This request caused apiserver to panic. Look in the logs for details."))
			if w.code == 0 {
				h.writeError(w, r, x.err)
			}
		}
		h.finish(w, r, x)
	}()
	x.err = h.serve(w, r, x)
	if x.err != nil && w.code == 0 {
		h.writeError(w, r, x.err)
	}
}

// serve runs the stages after another; an error is sent by the caller.
func (h *Hub) serve(w *recorder, r *http.Request, x *exchange) (err error) {
	if x.route, err = parseRoute(r); err != nil {
		return apierrors.NewInternalError(err)
	}
	h.identify(x)
	if x.user, err = h.authenticate(r); err != nil {
		dismiss(w, r, nil)
		return err
	}
	dismiss(w, r, &x.user)
	x.caller = x.user
	as, err := h.impersonate(r.Context(), r, x.user)
	if err != nil {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		return err
	}
	if as != nil {
		x.user = *as
	}
	leave, err := h.takeOn(x)
	if err != nil {
		return err
	}
	defer leave()
	defer x.letGo(h)
	if !x.long() {
		ctx, cancel, bad := deadline(r)
		if bad != nil {
			return bad
		}
		defer cancel()
		defer func() { err = late(ctx, w, r, err) }()
		r = r.WithContext(ctx)
		bound(ctx, w, r)
	}
	if err := h.verbs.Authorize(r.Context(), attributes(&x.route, x.user, r)); err != nil {
		w.Header().Set("X-Content-Type-Options", "nosniff") // the message repeats what the client sent
		return err
	}
	if x.route.Resource {
		return h.resource(w, r, x)
	}
	return h.path(w, r, x)
}

// identify finds the kind and the subresource that the route names, if they are served.
func (h *Hub) identify(x *exchange) {
	rt := &x.route
	if !rt.Resource {
		return
	}
	x.kind = h.cfg.Kinds.Resource(schema.GroupVersionResource{Group: rt.Group, Version: rt.Version, Resource: rt.Plural})
	if x.kind != nil && rt.Subresource != "" {
		x.sub = x.kind.Sub(rt.Subresource)
	}
}

// authenticate finds out who asks. There is no request without a user: anonymous callers are users too, where they are let
// in at all.
func (h *Hub) authenticate(r *http.Request) (api.User, error) {
	a := h.authenticator()
	if a == nil {
		return api.User{}, apierrors.NewUnauthorized("Unauthorized")
	}
	user, ok, err := a.Authenticate(r)
	if err != nil {
		h.log.Debug("authentication failed", "remote", r.RemoteAddr, "path", r.URL.Path, "err", err)
	}
	if err != nil || !ok {
		return api.User{}, apierrors.NewUnauthorized("Unauthorized")
	}
	return user, nil
}

// deadline bounds an ordinary request; the timeout parameter may shorten it.
func deadline(r *http.Request) (context.Context, context.CancelFunc, error) {
	limit := requestTimeout
	if strings.Contains(r.URL.RawQuery, "timeout=") {
		if v := r.URL.Query().Get("timeout"); v != "" {
			d, err := time.ParseDuration(v)
			if err != nil {
				return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - time: %v", strings.TrimPrefix(err.Error(), "time: ")))
			}
			if d > 0 && d < limit {
				limit = d
			}
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	return ctx, cancel, nil
}

func attributes(rt *route, user api.User, r *http.Request) authz.Attributes {
	a := authz.Attributes{User: user, Verb: rt.Verb}
	if !rt.Resource {
		a.Path = rt.Path
		return a
	}
	a.Group, a.Version, a.Resource, a.Subresource = rt.Group, rt.Version, rt.Plural, rt.Subresource
	a.Namespace, a.Name = rt.Namespace, rt.Name
	if rt.Selectors && r.URL.RawQuery != "" {
		q := r.URL.Query()
		a.FieldSelector, a.LabelSelector = q.Get("fieldSelector"), q.Get("labelSelector")
	}
	return a
}

// finish accounts for the request.
func (h *Hub) finish(w *recorder, r *http.Request, x *exchange) {
	h.metrics.observe(x, w, time.Since(x.came))
	if _, off := h.cfg.Audit.(audit.Discard); off || !x.route.Resource && healthPath(x.route.Path) {
		return
	}
	e := audit.Event{
		ID: x.id, Received: x.came, Verb: x.route.Verb, URI: r.URL.RequestURI(), User: x.caller, UserAgent: r.UserAgent(),
		Group: x.route.Group, Version: x.route.Version, Resource: x.route.Plural, Subresource: x.route.Subresource,
		Namespace: x.route.Namespace, Name: x.route.Name, Code: int32(w.status()),
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		e.SourceIPs = []string{host}
	}
	if x.user.Name != x.caller.Name {
		u := x.user
		e.Impersonated = &u
	}
	if x.err != nil {
		e.Reason = x.err.Error()
	}
	h.cfg.Audit.Record(e)
}

// writeError sends a refusal as a Status, in the encoding the client accepts or else in JSON.
func (h *Hub) writeError(w http.ResponseWriter, r *http.Request, err error) {
	if tooMany(w, err) {
		return
	}
	out, nerr := wire.Negotiate(r, nil) // a refusal has no other form
	if nerr != nil {
		out = wire.Output{}
	}
	out.WriteError(w, r, err)
}

func auditID(r *http.Request) string {
	if id := r.Header.Get("Audit-Id"); id != "" && len(id) <= maxAuditID {
		return id
	}
	return audit.NewID()
}

// recorder remembers the status of an answer. Unwrap lets http.ResponseController and hijackers through.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
}

func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 || w.code == http.StatusContinue {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Flush is for streams that look for http.Flusher.
func (w *recorder) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (w *recorder) status() int {
	if w.code == 0 {
		return http.StatusOK
	}
	return w.code
}

// Hijack is for streams that take over the connection (HTTP/1.1 upgrades).
func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	hj, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, errors.New("the connection cannot be taken over")
	}
	if w.code == 0 {
		w.code = http.StatusSwitchingProtocols
	}
	return hj.Hijack()
}
