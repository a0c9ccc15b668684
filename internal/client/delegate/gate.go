package delegate

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

// Gate tells who asks and whether they may. Door and Roots are set before it is used; its methods may be called concurrently.
type Gate struct {
	Door  client.Writer  // may create token and access reviews; nil: no token is believed, and Authorize is not to be called
	Roots *x509.CertPool // whose client certificates are believed; nil: nobody's

	users memory[api.User]
	rules memory[bool]
}

// Authenticate takes a client certificate of the cluster's, or a bearer token that the hub knows.
func (g *Gate) Authenticate(r *http.Request) (api.User, bool) {
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && g.Roots != nil {
		chain := x509.NewCertPool()
		for _, c := range r.TLS.PeerCertificates[1:] {
			chain.AddCert(c)
		}
		leaf := r.TLS.PeerCertificates[0]
		_, err := leaf.Verify(x509.VerifyOptions{Roots: g.Roots, Intermediates: chain, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		if err == nil && leaf.Subject.CommonName != "" {
			return api.User{Name: leaf.Subject.CommonName, Groups: append(leaf.Subject.Organization, api.GroupAuthenticated)}, true
		}
	}
	kind, token, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(kind, "bearer") || token == "" {
		return api.User{}, false
	}
	if g.Door == nil {
		return api.User{}, false // nobody knows tokens
	}
	return g.review(r.Context(), token)
}

func (g *Gate) review(ctx context.Context, token string) (api.User, bool) {
	sum := sha256.Sum256([]byte(token)) // the token itself is not kept
	key := string(sum[:])
	if u, ok := g.users.get(key); ok {
		return u, true
	}
	obj, err := g.Door.Create(ctx, client.Ref{Resource: client.TokenReviews},
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

// Authorize asks whether u may do what spec says; its user is filled in here.
func (g *Gate) Authorize(ctx context.Context, u api.User, spec authorizationv1.SubjectAccessReviewSpec) (bool, error) {
	key := fmt.Sprintf("%q %q %q %q %v %v", u.Name, u.UID, u.Groups, u.Extra, spec.ResourceAttributes, spec.NonResourceAttributes)
	if ok, known := g.rules.get(key); known {
		return ok, nil
	}
	spec.User, spec.UID, spec.Groups, spec.Extra = u.Name, u.UID, u.Groups, map[string]authorizationv1.ExtraValue{}
	for k, v := range u.Extra {
		spec.Extra[k] = v
	}
	obj, err := g.Door.Create(ctx, client.Ref{Resource: client.SubjectAccessReviews}, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
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
