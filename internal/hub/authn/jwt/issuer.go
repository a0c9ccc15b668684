package jwt

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"sampan.dev/internal/api"

	"github.com/coreos/go-oidc/v3/oidc"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/client-go/util/cert"
)

// issuer authenticates the tokens of one issuer. Its fields do not change, but for what reach finds out.
type issuer struct {
	cfg       *apiserver.JWTAuthenticator
	mapper    authenticationcel.CELMapper
	required  map[string]string
	verify    *oidc.Config
	client    *http.Client
	elsewhere *elsewhere // nil: groups stand in the token itself

	verifier atomic.Pointer[oidc.IDTokenVerifier] // nil until the issuer has been reached
	err      atomic.Pointer[error]                // why not yet
	ready    chan struct{}                        // closed when it is
}

// newIssuer makes one; ctx is that of all questions to the issuer.
func newIssuer(ctx context.Context, cfg *apiserver.JWTAuthenticator, s *Settings) (*issuer, error) {
	mapper, errs := validation.CompileAndValidateJWTAuthenticator(authenticationcel.NewDefaultCompiler(), *cfg, s.flags.Reserved)
	if err := errs.ToAggregate(); err != nil {
		return nil, err
	}
	is := &issuer{cfg: cfg, mapper: mapper, required: map[string]string{}, ready: make(chan struct{})}
	for _, r := range cfg.ClaimValidationRules {
		if r.Claim != "" {
			is.required[r.Claim] = r.RequiredValue
		}
	}
	var err error
	if is.client, err = client(&cfg.Issuer, s); err != nil {
		return nil, err
	}
	is.verify = &oidc.Config{SupportedSigningAlgs: s.algs, SkipClientIDCheck: true} // the audiences are compared here: there may be several
	if claim := cfg.ClaimMappings.Groups.Claim; claim != "" {
		is.elsewhere = newElsewhere(ctx, claim, is)
	}
	return is, nil
}

func client(i *apiserver.Issuer, s *Settings) (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if i.CertificateAuthority != "" {
		pool, err := cert.NewPoolFromBytes([]byte(i.CertificateAuthority))
		if err != nil {
			return nil, fmt.Errorf("Failed to read the CA contents: %w", err)
		}
		conf.RootCAs = pool
	}
	t := &http.Transport{TLSClientConfig: conf}
	if i.EgressSelectorType != "" {
		var dial = s.flags.Dial
		if dial == nil || dial(string(i.EgressSelectorType)) == nil {
			return nil, fmt.Errorf("oidc: egress lookup for %q is not configured", i.EgressSelectorType)
		}
		t.DialContext = dial(string(i.EgressSelectorType))
	}
	var rt http.RoundTripper = utilnet.SetTransportDefaults(t)
	if usual, named := discovery(i); named != "" {
		at, err := url.Parse(named)
		if err != nil {
			return nil, fmt.Errorf("oidc: invalid discovery URL: %w", err)
		}
		rt = &redirected{rt, usual, at}
	}
	return &http.Client{Transport: rt, Timeout: 30 * time.Second}, nil
}

// redirected asks for one URL elsewhere.
type redirected struct {
	http.RoundTripper
	from string
	to   *url.URL
}

func (t *redirected) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet && r.URL.String() == t.from {
		r = r.Clone(r.Context())
		r.Host, r.URL = "", t.to
	}
	return t.RoundTripper.RoundTrip(r)
}

// reach asks the issuer for its document until it answers; its keys are asked for when a token needs them.
func (is *issuer) reach(ctx context.Context, log *slog.Logger) {
	for {
		p, err := oidc.NewProvider(oidc.ClientContext(ctx, is.client), is.cfg.Issuer.URL)
		if err == nil {
			is.verifier.Store(p.VerifierContext(oidc.ClientContext(ctx, is.client), is.verify))
			close(is.ready)
			return
		}
		if ctx.Err() != nil {
			return
		}
		is.err.Store(&err)
		log.Warn("oidc authenticator: an issuer cannot be reached", "issuer", is.cfg.Issuer.URL, "error", err)
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return
		}
	}
}

func (is *issuer) failed() error {
	if is.verifier.Load() != nil {
		return nil
	}
	if err := is.err.Load(); err != nil {
		return *err
	}
	return fmt.Errorf("oidc: authenticator for issuer %q is not initialized", is.cfg.Issuer.URL)
}

func (is *issuer) authenticate(ctx context.Context, token string) (api.User, bool, error) {
	if name, err := unverified(token); err != nil || name != is.cfg.Issuer.URL {
		return api.User{}, false, nil
	}
	v := is.verifier.Load()
	if v == nil {
		return api.User{}, false, errors.New("oidc: authenticator not initialized")
	}
	c, err := is.claims(ctx, v, token)
	if err != nil {
		return api.User{}, false, fmt.Errorf("oidc: verify token: %w", err)
	}
	if is.elsewhere != nil {
		if err := is.elsewhere.expand(ctx, c); err != nil {
			return api.User{}, false, fmt.Errorf("oidc: could not expand distributed claims: %w", err)
		}
	}
	user, err := is.user(ctx, c)
	return user, err == nil, err
}

// claims verifies a token: signature, time, and that it is for one of the audiences.
func (is *issuer) claims(ctx context.Context, v *oidc.IDTokenVerifier, token string) (claims, error) {
	t, err := v.Verify(ctx, token)
	if err != nil {
		return nil, err
	}
	want := is.cfg.Issuer.Audiences
	if !slices.ContainsFunc(t.Audience, func(a string) bool { return slices.Contains(want, a) }) {
		return nil, fmt.Errorf("oidc: expected audience in %q got %q", sets.List(sets.New(want...)), t.Audience)
	}
	c := claims{}
	if err := t.Claims(&c); err != nil {
		return nil, fmt.Errorf("oidc: parse claims: %w", err)
	}
	return c, nil
}

// unverified is the issuer that a token names, which proves nothing.
func unverified(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || strings.HasPrefix(strings.TrimSpace(token), "{") {
		return "", errors.New("malformed token")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", fmt.Errorf("error decoding token: %w", err)
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return "", fmt.Errorf("while unmarshaling token: %w", err)
	}
	if c.Issuer == "accounts.google.com" { // how Google named itself before there was a standard
		return "https://accounts.google.com", nil
	}
	return c.Issuer, nil
}
