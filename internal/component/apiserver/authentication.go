package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"sampan.dev/internal/component/flag"
	"sampan.dev/internal/hub/authn"
	"sampan.dev/internal/hub/authn/jwt"
	"sampan.dev/internal/hub/callout"
	"sampan.dev/internal/tunnel/konnectivity/selector"
)

// TokenWebhook is a program elsewhere that tells whose a token is.
type TokenWebhook struct {
	File, Version string
	TTL           time.Duration
}

func (c *Config) authentication() flag.Table {
	j, w, f := &c.JWT, &c.TokenWebhook, &c.FrontHeaders
	return flag.Table{
		flag.Set("anonymous-auth", flag.Bool(&c.AnonymousAuth), "take requests without credentials for those of system:anonymous"),
		flag.Set("authentication-config", flag.String(&j.File), "AuthenticationConfiguration (file): issuers of tokens, and anonymous requests; it is read anew when it changes"),
		flag.Set("client-ca-file", flag.String(&c.ClientCA), "whose client certificates are believed; it is read anew when it changes"),
		flag.Set("requestheader-client-ca-file", flag.String(&c.FrontProxyCA), "whose client certificates may name the user in headers; it is read anew when it changes"),
		flag.Set("requestheader-allowed-names", flag.List(&c.FrontProxyNames), "common names of those; empty: any"),
		flag.Set("requestheader-extra-headers-prefix", flag.List(&f.Extra), "beginnings of the headers with the user's extras"),
		flag.Set("requestheader-group-headers", flag.List(&f.Group), "headers with the user's groups"),
		flag.Set("requestheader-uid-headers", flag.List(&f.UID), "headers with the user's UID"),
		flag.Set("requestheader-username-headers", flag.List(&f.User), "headers with the user's name"),
		flag.Set("service-account-issuer", flag.Each(&c.Issuers), "issuer of the tokens of service accounts; the first signs, the others are believed"),
		flag.Set("service-account-key-file", flag.Each(&c.KeyFiles), "keys (PEM) that verify those tokens"),
		flag.Set("service-account-signing-key-file", flag.String(&c.SigningKeyFile), "key that signs them"),
		flag.Set("api-audiences", flag.List(&c.Audiences), "audiences of tokens for this server; default is the issuer"),
		flag.Refuse("service-account-lookup", "bool", "true", "the account of a token must exist"),
		flag.Ignore("service-account-extend-token-expiration", "bool", "true", "a token lives as long as was asked for"),
		flag.Refuse("service-account-max-token-expiration", "duration", "", "a token lives as long as was asked for"),
		flag.Refuse("service-account-jwks-uri", "string", "", "keys are published at /openid/v1/jwks"),
		flag.Refuse("service-account-signing-endpoint", "string", "", noTokens),
		flag.Ignore("enable-bootstrap-token-auth", "bool", "", "bootstrap tokens are always believed"),
		flag.Set("token-auth-file", flag.String(&c.TokenFile), "tokens (CSV file): token, name, UID, and groups"),
		flag.Set("authentication-token-webhook-cache-ttl", flag.Duration(&w.TTL), "how long the program's answers are kept"),
		flag.Set("authentication-token-webhook-config-file", flag.String(&w.File), "kubeconfig of a program that tells whose a token is"),
		flag.Set("authentication-token-webhook-version", flag.String(&w.Version), "version of the TokenReviews that it is asked with"),
		flag.Set("oidc-issuer-url", flag.String(&j.IssuerURL), "issuer of tokens (OpenID Connect)"),
		flag.Set("oidc-client-id", flag.String(&j.ClientID), "audience that those tokens must be for"),
		flag.Set("oidc-ca-file", flag.String(&j.CAFile), "authority (PEM) of the issuer's certificate; default is the host's"),
		flag.Set("oidc-username-claim", flag.String(&j.UsernameClaim), "claim with the user's name"),
		flag.Set("oidc-username-prefix", flag.String(&j.UsernamePrefix), "what stands before names; default is the issuer, but for email; '-' is nothing"),
		flag.Set("oidc-groups-claim", flag.String(&j.GroupsClaim), "claim with the user's groups"),
		flag.Set("oidc-groups-prefix", flag.String(&j.GroupsPrefix), "what stands before groups"),
		flag.Set("oidc-required-claim", flag.Map(&j.RequiredClaims), "claims (NAME=VALUE) that a token must have"),
		flag.Set("oidc-signing-algs", flag.List(&j.SigningAlgs), "algorithms that tokens may be signed with"),
	}
}

// JWTIssuers reads --authentication-config and --oidc-*; nil where nothing is said. reserved are the issuers of service accounts' tokens.
func (c *Config) JWTIssuers(reserved ...string) (*jwt.Settings, error) {
	through, err := c.Egress()
	if err != nil {
		return nil, err
	}
	flags := c.JWT
	flags.Reserved = reserved
	flags.Dial = func(selection string) func(ctx context.Context, network, address string) (net.Conn, error) {
		return through[selection]
	}
	s, err := jwt.Read(flags)
	if err != nil && flags.File != "" {
		return nil, fmt.Errorf("--authentication-config %s: %w", flags.File, err)
	}
	return s, err
}

// Anonymous is what the file and --anonymous-auth say of requests without credentials.
func (c *Config) Anonymous(s *jwt.Settings) (authn.AnonymousAccess, error) {
	access := authn.AnonymousAccess{Off: !c.AnonymousAuth}
	if s == nil || s.Anonymous() == nil {
		return access, nil
	}
	if !c.AnonymousAuth {
		return access, errors.New("anonymous: Forbidden: --anonymous-auth flag cannot be set when anonymous field is configured in authentication configuration file")
	}
	access.Off = !s.Anonymous().Enabled
	for _, cond := range s.Anonymous().Conditions {
		access.Paths = append(access.Paths, cond.Path)
	}
	return access, nil
}

// Outsiders reads --token-auth-file and --authentication-token-webhook-*.
func (c *Config) Outsiders() (out authn.Outsiders, err error) {
	if c.TokenFile != "" {
		if out.File, err = authn.ReadTokens(c.TokenFile); err != nil {
			return out, fmt.Errorf("--token-auth-file: %w", err)
		}
	}
	if w := &c.TokenWebhook; w.File != "" {
		through, err := c.Egress()
		if err != nil {
			return out, err
		}
		client, err := callout.New(callout.Config{File: w.File, Backoff: callout.DefaultBackoff, Dial: through[selector.ControlPlane]})
		if err != nil {
			return out, fmt.Errorf("--authentication-token-webhook-config-file: %w", err)
		}
		if out.Webhook, err = authn.NewWebhook(client, w.Version, w.TTL); err != nil {
			return out, err
		}
	}
	return out, nil
}
