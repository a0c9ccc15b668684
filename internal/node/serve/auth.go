package serve

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// How long the hub's decisions are remembered: the kubelet's defaults.
const (
	tokenTTL = 2 * time.Minute
	allowTTL = 5 * time.Minute
	denyTTL  = 30 * time.Second
	maxKept  = 1024
)

// gate lets in who may.
type gate struct {
	node  string
	door  client.Writer
	roots *x509.CertPool
	users memory[api.User]
	rules memory[bool]
}

func newGate(node string, door client.Writer, roots *x509.CertPool) *gate {
	return &gate{node: node, door: door, roots: roots}
}

func (g *gate) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := g.authenticate(r)
		if !ok {
			plain(w, http.StatusUnauthorized, "Unauthorized")
			return
		}
		verb, subs := attributes(r)
		for _, sub := range subs {
			allowed, err := g.authorize(r.Context(), user, verb, sub)
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

// authenticate takes a client certificate of the cluster's, or a bearer token that the hub knows.
func (g *gate) authenticate(r *http.Request) (api.User, bool) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && g.roots != nil {
		chain := x509.NewCertPool()
		for _, c := range r.TLS.PeerCertificates[1:] {
			chain.AddCert(c)
		}
		leaf := r.TLS.PeerCertificates[0]
		_, err := leaf.Verify(x509.VerifyOptions{Roots: g.roots, Intermediates: chain, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err == nil && leaf.Subject.CommonName != "" {
			return api.User{Name: leaf.Subject.CommonName, Groups: append(leaf.Subject.Organization, api.GroupAuthenticated)}, true
		}
	}
	kind, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(kind, "bearer") || token == "" {
		return api.User{}, false
	}
	return g.review(r.Context(), token)
}

func (g *gate) review(ctx context.Context, token string) (api.User, bool) {
	sum := sha256.Sum256([]byte(token)) // the token itself is not kept
	key := string(sum[:])
	if u, ok := g.users.get(key); ok {
		return u, true
	}
	obj, err := g.door.Create(ctx, client.Ref{Resource: client.TokenReviews},
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	tr, err := as[*authenticationv1.TokenReview](obj, err)
	if err != nil || !tr.Status.Authenticated {
		return api.User{}, false
	}
	u := api.User{Name: tr.Status.User.Username, UID: tr.Status.User.UID, Groups: tr.Status.User.Groups, Extra: map[string][]string{}}
	for k, v := range tr.Status.User.Extra {
		u.Extra[k] = v
	}
	g.users.put(key, u, tokenTTL)
	return u, true
}

func (g *gate) authorize(ctx context.Context, u api.User, verb, sub string) (bool, error) {
	key := fmt.Sprintf("%q %q %q %q %s %s", u.Name, u.UID, u.Groups, u.Extra, verb, sub)
	if ok, known := g.rules.get(key); known {
		return ok, nil
	}
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: u.Name, UID: u.UID, Groups: u.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Version: "v1", Resource: "nodes", Subresource: sub, Name: g.node},
	}
	for k, v := range u.Extra {
		spec.Extra[k] = v
	}
	obj, err := g.door.Create(ctx, client.Ref{Resource: client.SubjectAccessReviews}, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	sar, err := as[*authorizationv1.SubjectAccessReview](obj, err)
	if err != nil {
		return false, err
	}
	ttl := denyTTL
	if sar.Status.Allowed {
		ttl = allowTTL
	}
	g.rules.put(key, sar.Status.Allowed, ttl)
	return sar.Status.Allowed, nil
}

func as[T runtime.Object](obj runtime.Object, err error) (T, error) {
	t, ok := obj.(T)
	if err == nil && !ok {
		err = fmt.Errorf("answer is %T", obj)
	}
	return t, err
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

// memory keeps values for a while.
type memory[V any] struct {
	mu   sync.Mutex
	kept map[string]remembered[V]
}

type remembered[V any] struct {
	value V
	until time.Time
}

func (m *memory[V]) get(key string) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.kept[key]
	return r.value, ok && time.Now().Before(r.until)
}

func (m *memory[V]) put(key string, v V, ttl time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || len(m.kept) >= maxKept {
		m.kept = map[string]remembered[V]{}
	}
	m.kept[key] = remembered[V]{v, time.Now().Add(ttl)}
}
