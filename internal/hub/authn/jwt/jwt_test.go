package jwt

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
)

// provider is an issuer over HTTPS on loopback.
type provider struct {
	*httptest.Server
	key *ecdsa.PrivateKey
	ca  string // PEM
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{key: key}
	mux := http.NewServeMux()
	document := func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "jwks_uri": p.URL + "/keys", "id_token_signing_alg_values_supported": []string{"ES256"}}) //nolint:errcheck // a test's server
	}
	mux.HandleFunc("/.well-known/openid-configuration", document)
	mux.HandleFunc("/elsewhere", document)
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}}) //nolint:errcheck // a test's server
	})
	mux.HandleFunc("/groups", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer open" {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		w.Write([]byte(p.token(t, map[string]any{"groups": []string{"far"}}))) //nolint:errcheck // a test's server
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	p.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))
	return p
}

// token signs claims, completed by those of every token.
func (p *provider) token(t *testing.T, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: p.key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"iss": p.URL, "aud": "me", "sub": "jane", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
	for k, v := range claims {
		all[k] = v
	}
	out, err := josejwt.Signed(signer).Claims(all).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "authentication.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"

func (p *provider) config(rest string) string {
	ca := strings.ReplaceAll(strings.TrimSpace(p.ca), "\n", "\n        ")
	return head + "jwt:\n- issuer:\n      url: " + p.URL + "\n      audiences: [me, other]\n      audienceMatchPolicy: MatchAny\n      certificateAuthority: |\n        " + ca + "\n" + rest
}

// run makes an authenticator of flags and waits until its issuers have been reached.
func run(t *testing.T, f Flags) *Authenticator {
	t.Helper()
	s, err := Read(f)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(s, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for _, is := range a.now.Load().issuers {
		<-is.ready
	}
	return a
}

func TestOIDCFlags(t *testing.T) {
	p := newProvider(t)
	ca := write(t, p.ca)
	base := func() Flags {
		f := NewFlags()
		f.IssuerURL, f.ClientID, f.CAFile, f.SigningAlgs = p.URL, "me", ca, []string{"ES256"}
		return f
	}
	for _, c := range []struct {
		name   string
		change func(*Flags)
		claims map[string]any
		user   string
		groups []string
		want   string // error
	}{
		{"the issuer stands before names", func(*Flags) {}, nil, p.URL + "#jane", nil, ""},
		{"no prefix", func(f *Flags) { f.UsernamePrefix = "-" }, nil, "jane", nil, ""},
		{"mail", func(f *Flags) { f.UsernameClaim = "email" }, map[string]any{"email": "a@b", "email_verified": true}, "a@b", nil, ""},
		{"mail that is not verified", func(f *Flags) { f.UsernameClaim = "email" }, map[string]any{"email": "a@b", "email_verified": false}, "", nil, "oidc: email not verified"},
		{"groups", func(f *Flags) { f.UsernamePrefix, f.GroupsClaim, f.GroupsPrefix = "u:", "groups", "g:" }, map[string]any{"groups": []string{"a", "b"}}, "u:jane", []string{"g:a", "g:b"}, ""},
		{"one group", func(f *Flags) { f.UsernamePrefix, f.GroupsClaim = "-", "groups" }, map[string]any{"groups": "a"}, "jane", []string{"a"}, ""},
		{"groups elsewhere", func(f *Flags) { f.UsernamePrefix, f.GroupsClaim = "-", "groups" }, map[string]any{"_claim_names": map[string]any{"groups": "s"},
			"_claim_sources": map[string]any{"s": map[string]any{"endpoint": p.URL + "/groups", "access_token": "open"}}}, "jane", []string{"far"}, ""},
		{"groups behind a closed door", func(f *Flags) { f.UsernamePrefix, f.GroupsClaim = "-", "groups" }, map[string]any{"_claim_names": map[string]any{"groups": "s"},
			"_claim_sources": map[string]any{"s": map[string]any{"endpoint": p.URL + "/groups"}}}, "", nil, "could not expand distributed claims"},
		{"a claim is required", func(f *Flags) { f.RequiredClaims = map[string]string{"hd": "x"} }, nil, "", nil, "oidc: required claim hd not present in ID token"},
		{"another audience", func(*Flags) {}, map[string]any{"aud": "you"}, "", nil, `oidc: expected audience in ["me"] got ["you"]`},
		{"its time is over", func(*Flags) {}, map[string]any{"exp": 1}, "", nil, "token is expired"},
		{"no name", func(f *Flags) { f.UsernameClaim = "nick" }, nil, "", nil, `oidc: parse username claims "nick": claim not present`},
	} {
		f := base()
		c.change(&f)
		u, ok, err := run(t, f).Authenticate(t.Context(), p.token(t, c.claims))
		switch {
		case c.want != "" && (ok || err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %+v %v %v", c.name, u, ok, err)
		case c.want == "" && (!ok || err != nil || u.Name != c.user || !slices.Equal(u.Groups, c.groups)):
			t.Errorf("%s: %+v %v %v", c.name, u, ok, err)
		}
	}
	a := run(t, base())
	for _, token := range []string{"", "a.b.c", "x"} {
		if _, ok, err := a.Authenticate(t.Context(), token); ok || err != nil {
			t.Errorf("%q: %v, %v", token, ok, err)
		}
	}
	forged := p.token(t, nil)
	if _, ok, err := a.Authenticate(t.Context(), forged[:len(forged)-4]+"AAAA"); ok || err == nil {
		t.Error("a forged token is good")
	}
}

func TestConfiguration(t *testing.T) {
	p := newProvider(t)
	f := NewFlags()
	f.File = write(t, p.config(`  claimMappings:
    username: {expression: "'x:' + claims.sub"}
    groups: {expression: "claims.roles.split(',')"}
    uid: {claim: sub}
    extra: [{key: 'example.org/tenant', valueExpression: "claims.tenant"}]
  claimValidationRules: [{expression: "claims.?hd.orValue('') == 'example.org'", message: "the wrong domain"}]
  userValidationRules: [{expression: "!user.username.startsWith('system:')", message: "reserved"}]
`))
	a := run(t, f)
	good := map[string]any{"roles": "a,b", "tenant": []string{"t"}, "hd": "example.org", "aud": []string{"other"}, "jti": "7"}
	u, ok, err := a.Authenticate(t.Context(), p.token(t, good))
	if err != nil || !ok || u.Name != "x:jane" || !slices.Equal(u.Groups, []string{"a", "b"}) || u.UID != "jane" || !slices.Equal(u.Extra["example.org/tenant"], []string{"t"}) ||
		!slices.Equal(u.Extra[credentialID], []string{"JTI=7"}) {
		t.Errorf("%+v %v %v", u, ok, err)
	}
	good["hd"] = "example.com"
	if _, ok, err := a.Authenticate(t.Context(), p.token(t, good)); ok || err == nil || !strings.Contains(err.Error(), "failed: the wrong domain") {
		t.Errorf("%v %v", ok, err)
	}
}

func TestDiscoveryURL(t *testing.T) {
	p := newProvider(t)
	f := NewFlags()
	f.File = write(t, strings.Replace(p.config("  claimMappings: {username: {claim: sub, prefix: ''}}\n"), "      audiences", "      discoveryURL: "+p.URL+"/elsewhere\n      audiences", 1))
	if u, ok, err := run(t, f).Authenticate(t.Context(), p.token(t, nil)); !ok || err != nil || u.Name != "jane" {
		t.Errorf("%+v %v %v", u, ok, err)
	}
}

func TestReload(t *testing.T) {
	p := newProvider(t)
	f := NewFlags()
	f.File = write(t, p.config("  claimMappings: {username: {claim: sub, prefix: 'a:'}}\n"))
	a := run(t, f)
	before := a.now.Load()
	if err := a.change(t.Context(), []byte(p.config("  claimMappings: {username: {claim: sub, prefix: 'b:'}}\nanonymous: {enabled: true}\n"))); err == nil || !strings.Contains(err.Error(), "anonymous: Forbidden: changed from initial configuration file") || a.now.Load() != before {
		t.Errorf("%v", err)
	}
	if err := a.change(t.Context(), []byte(p.config("  claimMappings: {username: {claim: sub, prefix: 'b:'}}\n"))); err != nil {
		t.Fatal(err)
	}
	if u, ok, err := a.Authenticate(t.Context(), p.token(t, nil)); !ok || err != nil || u.Name != "b:jane" {
		t.Errorf("%+v %v %v", u, ok, err)
	}
}

func TestBadSettings(t *testing.T) {
	for _, c := range []struct {
		change func(*Flags)
		want   string
	}{
		{func(f *Flags) { f.IssuerURL = "https://x" }, "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set"},
		{func(f *Flags) { f.IssuerURL, f.ClientID = "http://x", "y" }, "jwt[0].issuer.url: Invalid value: \"http://x\": URL scheme must be https"},
		{func(f *Flags) { f.IssuerURL, f.ClientID, f.SigningAlgs = "https://x", "y", []string{"none"} }, `oidc: unsupported signing alg: "none"`},
		{func(f *Flags) { f.IssuerURL, f.ClientID, f.Reserved = "https://x", "y", []string{"https://x"} }, "URL must not overlap with disallowed issuers"},
		{func(f *Flags) { f.File, f.IssuerURL = "x", "https://x" }, "authentication-config file and oidc-* flags are mutually exclusive"},
		{func(f *Flags) { f.File = write(t, head+"jwt: [{issuer: {url: 'https://x'}}]\n") }, "jwt[0].issuer.audiences: Required value"},
		{func(f *Flags) { f.File = write(t, head+"more: 1\n") }, `unknown field "more"`},
		{func(f *Flags) {
			f.File = write(t, head+"jwt: [{issuer: {url: 'https://x', audiences: [a]}, claimMappings: {username: {expression: 'claims.'}}}]\n")
		}, "jwt[0].claimMappings.username.expression: Invalid value"},
		{func(f *Flags) { f.File = write(t, strings.Replace(head, "Authentication", "Authorization", 1)) }, "expected AuthenticationConfiguration, got *apiserver.AuthorizationConfiguration"},
		{func(f *Flags) { f.File = write(t, head+"anonymous: {enabled: false, conditions: [{path: /x}]}\n") }, "enabled should be set to true when conditions are defined"},
	} {
		f := NewFlags()
		c.change(&f)
		if _, err := Read(f); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q: %v", c.want, err)
		}
	}
	if s, err := Read(NewFlags()); s != nil || err != nil {
		t.Errorf("nothing said: %v, %v", s, err)
	}
}
