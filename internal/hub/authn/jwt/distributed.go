package jwt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
)

// elsewhere fetches a claim that a token only says where to find: a distributed claim (OpenID Connect Core 1.0, 5.6.2). Who signed the
// answer is asked for its keys, at most once.
type elsewhere struct {
	ctx   context.Context // of questions for keys
	claim string
	of    *issuer

	mu struct {
		sync.Mutex
		verifiers map[string]*oidc.IDTokenVerifier // by issuer
	}
}

func newElsewhere(ctx context.Context, claim string, of *issuer) *elsewhere {
	e := &elsewhere{ctx: ctx, claim: claim, of: of}
	e.mu.verifiers = map[string]*oidc.IDTokenVerifier{}
	return e
}

// expand puts the claim into c, if c says where it is and does not have it.
func (e *elsewhere) expand(ctx context.Context, c claims) error {
	if _, ok := c[e.claim]; ok {
		return nil
	}
	if _, ok := c["_claim_names"]; !ok {
		return nil
	}
	names := map[string]string{}
	if err := c.get("_claim_names", &names); err != nil {
		return fmt.Errorf("oidc: error parsing distributed claim names: %w", err)
	}
	if _, ok := c["_claim_sources"]; !ok {
		return errors.New("oidc: no claim sources")
	}
	var sources map[string]struct {
		URL         string `json:"endpoint"`
		AccessToken string `json:"access_token"`
	}
	if err := c.get("_claim_sources", &sources); err != nil {
		return fmt.Errorf("oidc: could not parse claim sources: %w", err)
	}
	source, ok := names[e.claim]
	if !ok {
		return nil
	}
	at, ok := sources[source]
	if !ok {
		return fmt.Errorf("id token _claim_names contained a source %s missing in _claims_sources", source)
	}
	if at.URL == "" {
		return nil // an aggregated claim, which is not read
	}
	value, err := e.fetch(ctx, at.URL, at.AccessToken)
	if err == nil {
		c[e.claim] = value
	}
	return err
}

func (e *elsewhere) fetch(ctx context.Context, at, access string) (json.RawMessage, error) {
	token, err := e.get(ctx, at, access)
	if err != nil {
		return nil, fmt.Errorf("while getting distributed claim %q: %w", e.claim, err)
	}
	name, err := unverified(token)
	if err != nil {
		return nil, fmt.Errorf("getting untrusted issuer from endpoint %v failed for claim %q: %w", at, e.claim, err)
	}
	v, err := e.verifier(name)
	if err != nil {
		return nil, fmt.Errorf("verifying untrusted issuer %v failed: %w", name, err)
	}
	c, err := e.of.claims(ctx, v, token)
	if err != nil {
		return nil, fmt.Errorf("verify distributed claim token: %w", err)
	}
	value, ok := c[e.claim]
	if !ok {
		return nil, fmt.Errorf("jwt returned by distributed claim endpoint %q did not contain claim: %v", at, e.claim)
	}
	return value, nil
}

func (e *elsewhere) verifier(issuer string) (*oidc.IDTokenVerifier, error) {
	e.mu.Lock()
	v := e.mu.verifiers[issuer]
	e.mu.Unlock()
	if v != nil {
		return v, nil
	}
	ctx := oidc.ClientContext(e.ctx, e.of.client)
	p, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	v = p.VerifierContext(ctx, e.of.verify)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.mu.verifiers[issuer] = v
	return v, nil
}

func (e *elsewhere) get(ctx context.Context, at, access string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return "", fmt.Errorf("while calling %v: %w", at, err)
	}
	if access != "" {
		r.Header.Set("Authorization", "Bearer "+access)
	}
	resp, err := e.of.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode < 200 || resp.StatusCode > 226 {
		return "", fmt.Errorf("error while getting distributed claim JWT: %v", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", errors.New("could not decode distributed claim response")
	}
	return string(data), nil
}
