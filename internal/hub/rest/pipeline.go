package rest

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/hub/audit"
	"sampan.dev/internal/hub/authz"
	"sampan.dev/internal/hub/wire"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const maxAuditID = 64

// ServeHTTP takes a request through the stages.
func (s *Server) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	x := &exchange{came: time.Now(), id: auditID(r)}
	w := &recorder{ResponseWriter: rw}
	w.Header().Set("Audit-Id", x.id)
	w.Header().Set("Cache-Control", "no-cache, private")
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http's own sentinel
				s.finish(w, r, x)
				panic(p)
			}
			x.trail.Panics(p)
			x.trail = nil
			s.cfg.Log.Error("panic while serving", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			x.err = apierrors.NewInternalError(fmt.Errorf("This request caused apiserver to panic. Look in the logs for details."))
			if w.code == 0 {
				s.writeError(w, r, x.err)
			}
		}
		s.finish(w, r, x)
	}()
	x.err = s.serve(w, r, x)
	if x.err != nil && w.code == 0 {
		s.writeError(w, r, x.err)
	}
}

// serve runs the stages after another; an error is sent by the caller.
func (s *Server) serve(w *recorder, r *http.Request, x *exchange) (err error) {
	if x.route, err = parseRoute(r); err != nil {
		return apierrors.NewInternalError(err)
	}
	s.identify(x, r)
	if x.user, err = s.authenticate(r); err != nil {
		dismiss(w, r, nil)
		s.cfg.Audit.Unauthenticated(event(r, x), r.URL.Path, audit.Status(0, err))
		return err
	}
	dismiss(w, r, &x.user)
	x.caller = x.user
	if err := s.follow(w, r, x); err != nil {
		return err
	}
	as, constraint, err := s.impersonate(r.Context(), r, x.user, func() authz.Attributes { return attributes(&x.route, x.caller, r) })
	if err != nil {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		return err
	}
	if as != nil {
		x.user = *as
		x.trail.Impersonates(as, constraint)
	}
	leave, err := s.takeOn(w, r, x)
	if err != nil {
		return err
	}
	defer leave()
	defer x.letGo(s)
	if !x.long() {
		ctx, cancel, bad := deadline(r)
		if bad != nil {
			return bad
		}
		defer cancel()
		defer func() { err = late(ctx, w, r, err) }()
		r = r.WithContext(audit.With(ctx, x.trail))
		bound(ctx, w, r)
	} else if x.trail != nil {
		r = r.WithContext(audit.With(r.Context(), x.trail))
	}
	reason, err := s.cfg.Verbs.Decide(r.Context(), attributes(&x.route, x.user, r))
	x.trail.Decision(err == nil, reason)
	if err != nil {
		w.Header().Set("X-Content-Type-Options", "nosniff") // the message repeats what the client sent
		return err
	}
	switch {
	case x.other != nil:
		// What else there might be is no label of a metric: clients can make up anything.
		x.served = !x.route.Resource || x.other.Knows(x.route.Plural)
		return x.other.Serve(w, r, x.user)
	case x.route.Resource:
		return s.resource(w, r, x)
	}
	x.served, err = s.cfg.Paths.ServePath(w, r)
	return err
}

// follow begins the trail of a request that somebody has been found to ask.
func (s *Server) follow(w *recorder, r *http.Request, x *exchange) error {
	if s.cfg.Audit == nil {
		return nil
	}
	var ok bool
	if x.trail, ok = s.cfg.Audit.Begin(event(r, x), r.URL.Path); !ok {
		x.trail = nil
		return apierrors.NewInternalError(errors.New("failed to store audit event"))
	}
	if x.long() {
		w.lasts = x.trail
	}
	return nil
}

// authenticate finds out who asks. There is no request without a user: anonymous callers are users too, where they are let
// in at all.
func (s *Server) authenticate(r *http.Request) (api.User, error) {
	a := s.cfg.Authenticator
	if a == nil {
		return api.User{}, apierrors.NewUnauthorized("Unauthorized")
	}
	user, ok, err := a.Authenticate(r)
	if err != nil {
		s.cfg.Log.Debug("authentication failed", "remote", r.RemoteAddr, "path", r.URL.Path, "err", err)
	}
	if err != nil || !ok {
		return api.User{}, apierrors.NewUnauthorized("Unauthorized")
	}
	return user, nil
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

// writeError sends a refusal as a Status, in the encoding the client accepts or else in JSON.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
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
