package serve

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"sampan.dev/internal/client"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// reviewer answers reviews: token "good" is alice, who may use the subresources named, and no other may anything.
type reviewer struct {
	client.Writer
	may    []string
	tokens int
	rules  int
	broken bool
}

func (r *reviewer) Create(_ context.Context, _ client.Ref, obj runtime.Object, _ metav1.CreateOptions) (runtime.Object, error) {
	if r.broken {
		return nil, errors.New("the hub is away")
	}
	switch o := obj.(type) {
	case *authenticationv1.TokenReview:
		r.tokens++
		o.Status.Authenticated = o.Spec.Token == "good"
		o.Status.User = authenticationv1.UserInfo{Username: "alice"}
		return o, nil
	case *authorizationv1.SubjectAccessReview:
		r.rules++
		a := o.Spec.ResourceAttributes
		o.Status.Allowed = o.Spec.User == "alice" && a.Resource == "nodes" && a.Name == "n1" && slices.Contains(r.may, a.Verb+" "+a.Subresource)
		return o, nil
	}
	return nil, errors.New("unexpected")
}

func TestGate(t *testing.T) {
	door := &reviewer{may: []string{"get stats", "get pods", "create proxy"}}
	g := newGate(&Config{NodeName: "n1", Door: door})
	h := g.wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	do := func(method, path, auth string) int {
		r := httptest.NewRequest(method, path, nil)
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code
	}
	for _, c := range []struct {
		method, path, auth string
		want               int
	}{
		{"GET", "/pods", "", 401},
		{"GET", "/pods", "Bearer bad", 401},
		{"GET", "/pods", "Basic good", 401},
		{"GET", "/pods", "Bearer good", 418},
		{"GET", "/runningpods/", "bearer good", 418},
		{"GET", "/stats/summary", "Bearer good", 418},
		{"GET", "/metrics", "Bearer good", 403},
		{"GET", "/metrics/cadvisor", "Bearer good", 403},
		{"GET", "/configz", "Bearer good", 403},
		{"POST", "/exec/ns/p/c", "Bearer good", 418},
		{"GET", "/exec/ns/p/c", "Bearer good", 418}, // who may create may by GET
		{"GET", "/containerLogs/ns/p/c", "Bearer good", 403},
		{"GET", "/podsx", "Bearer good", 403},
		{"GET", "/healthz", "", 401},
	} {
		if got := do(c.method, c.path, c.auth); got != c.want {
			t.Errorf("%s %s as %q: %d, want %d", c.method, c.path, c.auth, got, c.want)
		}
	}
	tokens, rules := door.tokens, door.rules
	do("GET", "/pods", "Bearer good")
	do("GET", "/metrics", "Bearer good")
	if door.tokens != tokens || door.rules != rules {
		t.Error("decisions are not remembered")
	}
	door.broken = true
	if got := do("GET", "/logs/", "Bearer good"); got != 500 {
		t.Errorf("without the hub: %d", got)
	}
	if got := do("GET", "/pods", "Bearer other"); got != 401 {
		t.Errorf("without the hub, an unknown token: %d", got)
	}
}

// Whoever may only read has no way into a container, by any method: the transports differ in it.
func TestReadingOpensNoStream(t *testing.T) {
	door := &reviewer{may: []string{"get stats", "get pods", "get proxy", "get log", "get metrics", "update proxy", "patch proxy", "delete proxy", " proxy"}}
	h := newGate(&Config{NodeName: "n1", Door: door}).wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	do := func(method, path, auth string) int {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Authorization", auth)
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return rec.Code
	}
	for _, path := range []string{"/exec/ns/p/c", "/exec/ns/p/uid/c", "/exec", "/exec/", "/attach/ns/p/c", "/portForward/ns/p", "/portForward/ns/p/uid", "/run/ns/p/c"} {
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT"} {
			if got := do(method, path, "Bearer good"); got != 403 {
				t.Errorf("%s %s with every right but create: %d", method, path, got)
			}
		}
	}
	if got := do("GET", "/containerLogs/ns/p/c", "Bearer good"); got != 418 {
		t.Errorf("a log: %d", got)
	}
}

func TestClientCertificates(t *testing.T) {
	ca, caKey := certificate(t, "ca", nil, nil)
	leaf, _ := certificate(t, "system:apiserver", ca, caKey)
	other, _ := certificate(t, "mallory", nil, nil)
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	g := newGate(&Config{NodeName: "n1", Door: &reviewer{}, ClientCA: roots})
	for _, c := range []struct {
		cert *x509.Certificate
		want string
	}{{leaf, "system:apiserver"}, {other, ""}} {
		r := httptest.NewRequest("GET", "/", nil)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c.cert}}
		if u, ok := g.Authenticate(r); ok != (c.want != "") || u.Name != c.want {
			t.Errorf("%s: %v %v", c.cert.Subject, u, ok)
		}
	}
}

// certificate makes one, signed by parent or by itself.
func certificate(t *testing.T, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name, Organization: []string{"system:masters"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: parent == nil, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if parent == nil {
		parent, parentKey = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c, key
}

// A node without an API server lets in whom its settings say; what they say counts nothing where there is one.
func TestGateAlone(t *testing.T) {
	for _, c := range []struct {
		name  string
		door  client.Writer
		alone Alone
		auth  string
		want  int
	}{
		{"open", nil, Alone{Anonymous: true, AlwaysAllow: true}, "", 418},
		{"a token that nobody can review", nil, Alone{Anonymous: true, AlwaysAllow: true}, "Bearer good", 418},
		{"no anonymous requests", nil, Alone{AlwaysAllow: true}, "", 401},
		{"no anonymous requests, a token", nil, Alone{AlwaysAllow: true}, "Bearer good", 401},
		{"nobody decides", nil, Alone{Anonymous: true}, "", 403},
		{"the API server decides", &reviewer{}, Alone{Anonymous: true, AlwaysAllow: true}, "", 401},
		{"the API server denies", &reviewer{}, Alone{Anonymous: true, AlwaysAllow: true}, "Bearer good", 403},
	} {
		h := newGate(&Config{NodeName: "n1", Door: c.door, Alone: c.alone}).
			wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
		r := httptest.NewRequest("POST", "/exec/ns/p/c", nil)
		if c.auth != "" {
			r.Header.Set("Authorization", c.auth)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		if rec.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, rec.Code, c.want)
		}
	}
}
