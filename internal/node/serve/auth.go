package serve

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client/delegate"

	authorizationv1 "k8s.io/api/authorization/v1"
)

// gate lets in who may.
type gate struct {
	delegate.Gate
	node  string
	alone Alone
}

// Alone says whom a node lets in that has no API server to ask. Where there is one, it alone decides.
type Alone struct {
	Anonymous   bool // requests without a certificate that is believed are system:anonymous's, rather than unauthorized
	AlwaysAllow bool // whoever is authenticated may do everything, rather than nothing
}

func newGate(cfg *Config) *gate {
	g := &gate{Gate: delegate.Gate{Door: cfg.Door, Roots: cfg.ClientCA}, node: cfg.NodeName}
	if cfg.Door == nil {
		g.alone = cfg.Alone
	}
	return g
}

// who authenticates a request.
func (g *gate) who(r *http.Request) (api.User, bool) {
	user, ok := g.Authenticate(r)
	if !ok && g.alone.Anonymous {
		return api.User{Name: api.UserAnonymous, Groups: []string{api.GroupUnauthenticated}}, true
	}
	return user, ok
}

// may asks the API server whether a user has a right to one of the node's subresources.
func (g *gate) may(ctx context.Context, user api.User, verb, sub string) (bool, error) {
	if g.Door == nil {
		return g.alone.AlwaysAllow, nil
	}
	return g.Authorize(ctx, user, authorizationv1.SubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Version: "v1", Resource: "nodes", Subresource: sub, Name: g.node},
	})
}

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := g.who(r)
		if !ok {
			plain(w, http.StatusUnauthorized, "Unauthorized")
			return
		}
		verb, subs := attributes(r)
		for _, sub := range subs {
			allowed, err := g.may(r.Context(), user, verb, sub)
			if err != nil {
				plain(w, http.StatusInternalServerError, fmt.Sprintf("Authorization error (user=%s, verb=%s, resource=nodes, subresource=%s)", user.Name, verb, sub))
				return
			}
			if allowed {
				next.ServeHTTP(w, r)
				return
			}
		}
		plain(w, http.StatusForbidden, fmt.Sprintf("Forbidden (user=%s, verb=%s, resource=nodes, subresource(s)=%v)\n", user.Name, verb, subs))
	})
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}

var verbs = map[string]string{"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

// attributes is what a request needs: leave to use one of the node's subresources. The narrow one comes first, then the
// one that was there before it (upstream's fine-grained kubelet authorization).
func attributes(r *http.Request) (verb string, subresources []string) {
	verb = verbs[r.Method]
	under := func(paths ...string) bool {
		for _, p := range paths {
			if r.URL.Path == p || strings.HasPrefix(r.URL.Path, p+"/") {
				return true
			}
		}
		return false
	}
	switch {
	case under("/exec", "/attach", "/portForward", "/run"):
		// What acts in a container asks for create, whatever carries it: a WebSocket begins with GET, and who may only read the
		// node's metrics by way of the proxy right is not to have a shell by it. Upstream goes by the method.
		return "create", []string{"proxy"}
	case under("/pods", "/runningpods"):
		return verb, []string{"pods", "proxy"}
	case under("/healthz"):
		return verb, []string{"healthz", "proxy"}
	case under("/statusz"):
		return verb, []string{"statusz"}
	case under("/flagz"):
		return verb, []string{"configz"}
	case under("/configz"):
		return verb, []string{"configz", "proxy"}
	case under("/stats"):
		return verb, []string{"stats"}
	case under("/metrics"):
		return verb, []string{"metrics"}
	case under("/logs"):
		return verb, []string{"log"}
	}
	return verb, []string{"proxy"}
}
