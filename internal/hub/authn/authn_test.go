package authn_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/hubtest"
	"sampan.dev/internal/pki"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type world struct {
	*hubtest.Hub
	t         *testing.T
	ca, front *pki.Authority
	chain     *authn.Chain
}

func newWorld(t *testing.T) *world {
	w := &world{Hub: hubtest.New(t), t: t}
	w.Boot(t)
	var err error
	if w.ca, err = pki.NewAuthority("kubernetes"); err != nil {
		t.Fatal(err)
	}
	if w.front, err = pki.NewAuthority("front-proxy-ca"); err != nil {
		t.Fatal(err)
	}
	pool, frontPool := w.ca.Pool(), w.front.Pool()
	w.chain, err = authn.New(authn.Config{
		ClientCA: func() *x509.CertPool { return pool }, FrontProxyCA: func() *x509.CertPool { return frontPool }, FrontProxyNames: []string{"front-proxy-client"},
		Tokens: w.Tokens, Refused: []string{"kube-apiserver-kubelet-client"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) request(path string, ca *pki.Authority, r pki.Request) *http.Request {
	req := httptest.NewRequest("GET", path, nil)
	if ca != nil {
		r.Client = true
		cert, err := ca.Issue(r)
		if err != nil {
			w.t.Fatal(err)
		}
		req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert.Leaf}}
	}
	return req
}

func TestCertificates(t *testing.T) {
	w := newWorld(t)
	u, ok, err := w.chain.Authenticate(w.request("/api", w.ca, pki.Request{CommonName: "ann", Organization: []string{"crew"}}))
	if !ok || err != nil || u.Name != "ann" || !slices.Equal(u.Groups, []string{"crew", "system:authenticated"}) || !strings.HasPrefix(u.Extra[authn.CredentialID][0], "X509SHA256=") {
		t.Errorf("%v %v %v", u, ok, err)
	}
	other, _ := pki.NewAuthority("kubernetes")
	if u, ok, err = w.chain.Authenticate(w.request("/api", other, pki.Request{CommonName: "ann"})); ok || err == nil {
		t.Errorf("a stranger's certificate was taken: %v %v", u, err)
	}
	// A bad certificate is not anonymous, not even where everybody may read.
	if _, ok, err = w.chain.Authenticate(w.request("/healthz", other, pki.Request{CommonName: "ann"})); ok || err == nil {
		t.Error("a bad certificate passed as anonymous")
	}
	server, _ := w.ca.Issue(pki.Request{CommonName: "ann", Server: true})
	req := httptest.NewRequest("GET", "/api", nil)
	req.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{server.Leaf}}
	if _, ok, err = w.chain.Authenticate(req); ok || err == nil {
		t.Error("a serving certificate was taken for a client's")
	}
}

// The hub shows kubelets a certificate of a name of its own. Whoever has it, or makes a proxy say so, does not come in by it:
// a hub that was led to its own door would otherwise open it to itself.
func TestTheHubDoesNotAskItself(t *testing.T) {
	w := newWorld(t)
	const name = pki.KubeletClientName
	proxied := w.request("/api", w.front, pki.Request{CommonName: "front-proxy-client"})
	proxied.Header.Set("X-Remote-User", name)
	proxied.Header.Set("X-Remote-Group", "system:masters")
	for what, r := range map[string]*http.Request{
		"now":         w.request("/livez", w.ca, pki.Request{CommonName: name}),
		"as it was":   w.request("/api", w.ca, pki.Request{CommonName: name, Organization: []string{pki.ClusterAdmins}}),
		"by a master": w.request("/api", w.ca, pki.Request{CommonName: name, Organization: []string{"system:masters"}}),
		"proxied":     proxied,
	} {
		if u, ok, err := w.chain.Authenticate(r); ok || err == nil {
			t.Errorf("%s: it came in as %v", what, u)
		}
	}
}

func TestFrontProxy(t *testing.T) {
	w := newWorld(t)
	ask := func(ca *pki.Authority, cn string) (*http.Request, string, error) {
		r := w.request("/api", ca, pki.Request{CommonName: cn})
		r.Header.Set("X-Remote-User", "bob")
		r.Header.Add("X-Remote-Group", "deck")
		r.Header.Set("X-Remote-Extra-Scopes%2fx", "y")
		u, _, err := w.chain.Authenticate(r)
		if err == nil && u.Name == "bob" && (u.Extra["scopes/x"][0] != "y" || u.Groups[0] != "deck") {
			t.Errorf("%v", u)
		}
		return r, u.Name, err
	}
	if r, name, err := ask(w.front, "front-proxy-client"); name != "bob" || err != nil || len(r.Header) != 0 {
		t.Errorf("%q %v %v", name, err, r.Header)
	}
	if _, name, err := ask(w.front, "somebody"); name != "" || err == nil {
		t.Errorf("a certificate of another name was believed: %q", name)
	}
	if _, name, _ := ask(w.ca, "mallory"); name != "mallory" {
		t.Errorf("headers were believed over the client certificate: %q", name)
	}
	pool := w.ca.Pool()
	same := func() *x509.CertPool { return pool }
	if _, err := authn.New(authn.Config{ClientCA: same, FrontProxyCA: same}); err == nil {
		t.Error("one authority for clients and the front proxy was accepted without names")
	}
}

func TestAnonymous(t *testing.T) {
	w := newWorld(t)
	some := authn.AnonymousAccess{Paths: []string{"/livez", "/readyz"}}
	for _, c := range []struct {
		access authn.AnonymousAccess
		path   string
		want   bool
	}{
		{authn.AnonymousAccess{}, "/healthz", true}, {authn.AnonymousAccess{}, "/", true}, {authn.AnonymousAccess{}, "/metrics", true},
		{authn.AnonymousAccess{}, "/api/v1/secrets", true}, // to be forbidden by authorization
		{some, "/livez", true}, {some, "/readyz", true}, {some, "/readyz/etcd", false}, {some, "/healthz", false}, {some, "/livez/", false},
		{some, "//livez", false}, {some, "/api", false}, {some, "/version", false},
		{authn.AnonymousAccess{Paths: []string{}}, "/livez", false},
		{authn.AnonymousAccess{Off: true}, "/livez", false}, {authn.AnonymousAccess{Off: true, Paths: []string{"/livez"}}, "/livez", false},
	} {
		chain, err := authn.New(authn.Config{Tokens: w.Tokens, Anonymous: c.access})
		if err != nil {
			t.Fatal(err)
		}
		u, ok, err := chain.Authenticate(w.request(c.path, nil, pki.Request{}))
		if ok != c.want || err != nil || ok && (u.Name != "system:anonymous" || !slices.Equal(u.Groups, []string{"system:unauthenticated"})) {
			t.Errorf("%+v %s: %v %v %v", c.access, c.path, u, ok, err)
		}
	}
	r := w.request("/healthz", nil, pki.Request{})
	r.Header.Set("Authorization", "Bearer nonsense")
	if _, ok, err := w.chain.Authenticate(r); ok || err == nil {
		t.Error("a bad token passed as anonymous")
	}
}

func (w *world) account(name string) *corev1.ServiceAccount {
	sa, err := client.Create(w.t.Context(), w.Root, client.ServiceAccounts, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}})
	if err != nil {
		w.t.Fatal(err)
	}
	return sa
}

func (w *world) sign(c authn.Claims) string {
	if c.Life == 0 {
		c.Life = time.Hour
	}
	if c.Audiences == nil {
		c.Audiences = []string{hubtest.Issuer}
	}
	tok, _, err := w.Issuer.Sign(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return tok
}

func (w *world) check(tok, want string, auds ...string) {
	w.t.Helper()
	// The check reads the cache as it stands, so what was just written shows a moment later.
	var got string
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		_, ok, err := w.Tokens.Authenticate(w.t.Context(), tok, auds)
		if got = "not ours"; ok {
			got = ""
		} else if err != nil {
			got = err.Error()
		}
		if got == want {
			return
		}
	}
	w.t.Errorf("%q, want %q", got, want)
}

func TestServiceAccountTokens(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	sa := w.account("robot")
	tok := w.sign(authn.Claims{Account: sa})
	r, ok, err := w.Tokens.Authenticate(ctx, tok, nil)
	if !ok || err != nil || r.User.Name != "system:serviceaccount:default:robot" || r.User.UID != string(sa.UID) ||
		!slices.Equal(r.User.Groups, []string{"system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"}) || r.Audiences[0] != hubtest.Issuer {
		t.Fatalf("%v %v %v", r, ok, err)
	}
	w.check(w.sign(authn.Claims{Account: sa, Life: -2 * time.Minute}), "service account token has expired")
	w.check(w.sign(authn.Claims{Account: sa, Audiences: []string{"vault"}}), `token audiences ["vault"] is invalid for the target audiences ["https://kubernetes.default.svc.cluster.local"]`)
	w.check(w.sign(authn.Claims{Account: sa, Audiences: []string{"vault"}}), "", "vault")

	secret, err := client.Create(ctx, w.Root, client.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	bound := w.sign(authn.Claims{Account: sa, Secret: secret})
	w.check(bound, "")
	if err := client.Delete(ctx, w.Root, client.Secrets, "default", "s", ""); err != nil {
		t.Fatal(err)
	}
	w.check(bound, "service account token has been invalidated")
	again, err := client.Create(ctx, w.Root, client.Secrets, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s"}})
	if err != nil {
		t.Fatal(err)
	}
	w.check(bound, "secret UID ("+string(again.UID)+") does not match service account secret ref claim ("+string(secret.UID)+")")

	if err := client.Delete(ctx, w.Root, client.ServiceAccounts, "default", "robot", ""); err != nil {
		t.Fatal(err)
	}
	w.check(tok, `serviceaccounts "robot" not found`)
	fresh := w.account("robot")
	w.check(tok, "service account UID ("+string(fresh.UID)+") does not match claim ("+string(sa.UID)+")")
}

func TestPodBoundToken(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	sa := w.account("robot")
	p, err := client.Create(ctx, w.Root, client.Pods, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p"},
		Spec:       corev1.PodSpec{ServiceAccountName: "robot", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", UID: "nuid"}}
	tok := w.sign(authn.Claims{Account: sa, Pod: p, Node: node})
	r, ok, err := w.Tokens.Authenticate(ctx, tok, nil)
	if !ok || err != nil || r.User.Extra["authentication.kubernetes.io/pod-name"][0] != "p" || r.User.Extra["authentication.kubernetes.io/node-uid"][0] != "nuid" {
		t.Fatalf("%v %v %v", r, ok, err)
	}
	if err := client.Delete(ctx, w.Root, client.Pods, "default", "p", ""); err != nil {
		t.Fatal(err)
	}
	w.check(tok, "service account token has been invalidated")
}

func TestForgedTokens(t *testing.T) {
	w := newWorld(t)
	sa := w.account("robot")
	tok := w.sign(authn.Claims{Account: sa})
	parts := strings.Split(tok, ".")
	enc := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	refused := func(name, tok string) {
		t.Helper()
		if r, ok, _ := w.Tokens.Authenticate(t.Context(), tok, nil); ok {
			t.Errorf("%s was taken: %v", name, r)
		}
	}
	refused("alg none", enc(`{"alg":"none","typ":"JWT"}`)+"."+parts[1]+".")
	refused("other payload", parts[0]+"."+enc(`{"iss":"`+hubtest.Issuer+`","aud":["`+hubtest.Issuer+`"]}`)+"."+parts[2])
	refused("kid traversal", enc(`{"alg":"ES256","kid":"../../etc"}`)+"."+parts[1]+"."+parts[2])
	refused("HS256 with the public key", enc(`{"alg":"HS256"}`)+"."+parts[1]+"."+parts[2])
	other, _ := pki.NewAuthority("x")
	iss, _ := authn.NewIssuer(hubtest.Issuer, other.Key)
	forged, _, _ := iss.Sign(authn.Claims{Account: sa, Audiences: []string{hubtest.Issuer}, Life: time.Hour})
	refused("another key", forged)
	iss, _ = authn.NewIssuer("https://elsewhere", other.Key)
	foreign, _, _ := iss.Sign(authn.Claims{Account: sa, Audiences: []string{hubtest.Issuer}, Life: time.Hour})
	refused("another issuer", foreign)
	w.check(tok, "")
}

func TestBootstrapTokens(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	put := func(id string, data map[string]string) {
		t.Helper()
		s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-" + id}, Type: "bootstrap.kubernetes.io/token", StringData: nil, Data: map[string][]byte{}}
		for k, v := range map[string]string{"token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-authentication": "true"} {
			s.Data[k] = []byte(v)
		}
		for k, v := range data {
			s.Data[k] = []byte(v)
		}
		if _, err := client.Create(ctx, w.Root, client.Secrets, s); err != nil {
			t.Fatal(err)
		}
	}
	put("aaaaaa", map[string]string{"auth-extra-groups": "system:bootstrappers:kubeadm:default-node-token"})
	put("bbbbbb", map[string]string{"expiration": time.Now().Add(-time.Second).Format(time.RFC3339)})
	put("cccccc", map[string]string{"usage-bootstrap-authentication": "false"})
	put("dddddd", map[string]string{"auth-extra-groups": "system:masters"})
	put("eeeeee", map[string]string{"expiration": "tomorrow"})
	r, ok, err := w.Tokens.Authenticate(ctx, "aaaaaa.0123456789abcdef", nil)
	if !ok || err != nil || r.User.Name != "system:bootstrap:aaaaaa" || !slices.Equal(r.User.Groups, []string{"system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token"}) {
		t.Errorf("%v %v %v", r, ok, err)
	}
	for _, tok := range []string{"aaaaaa.0123456789abcdee", "bbbbbb.0123456789abcdef", "cccccc.0123456789abcdef", "dddddd.0123456789abcdef", "eeeeee.0123456789abcdef", "ffffff.0123456789abcdef"} {
		if r, ok, err := w.Tokens.Authenticate(ctx, tok, nil); ok || err != nil {
			t.Errorf("%s: %v %v", tok, r, err)
		}
	}
}

func TestDiscoveryDocuments(t *testing.T) {
	ca, _ := pki.NewAuthority("x")
	keys, err := authn.NewKeys([]crypto.PublicKey{ca.Key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := keys.OpenIDConfiguration("https://iss", "https://192.0.2.1:6443/openid/v1/jwks")
	if want := `{"issuer":"https://iss","jwks_uri":"https://192.0.2.1:6443/openid/v1/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["ES256"]}`; err != nil || string(doc) != want {
		t.Errorf("%s %v", doc, err)
	}
	id, _ := pki.KeyID(ca.Key.Public())
	set, err := keys.JWKS()
	var got struct{ Keys []map[string]string }
	if err != nil || json.Unmarshal(set, &got) != nil || len(got.Keys) != 1 || got.Keys[0]["kid"] != id || got.Keys[0]["use"] != "sig" || got.Keys[0]["d"] != "" {
		t.Errorf("%s %v", set, err)
	}
}
