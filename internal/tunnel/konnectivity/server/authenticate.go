package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sampan.dev/internal/tunnel/konnectivity/wire"

	"google.golang.org/grpc/metadata"
	authenticationv1 "k8s.io/api/authentication/v1"
)

// Accounts says whose tokens make an agent: those of one service account that are for one audience.
type Accounts struct {
	Namespace, Name, Audience string
	// Review asks an API server about a token.
	Review func(ctx context.Context, review *authenticationv1.TokenReview) (*authenticationv1.TokenReview, error)
}

// Authenticate takes a token for that of the account, or says in upstream's words why it is none.
func (a *Accounts) Authenticate(ctx context.Context, token string) (Identity, error) {
	if token == "" {
		return Identity{}, errors.New("Authentication context was not found in metadata") //nolint:staticcheck // upstream's words
	}
	name, err := a.review(ctx, token)
	if err != nil {
		return Identity{}, fmt.Errorf("Failed to validate authentication token, err:%w", err) //nolint:staticcheck // upstream's words
	}
	return Identity{Name: name}, nil
}

func (a *Accounts) review(ctx context.Context, token string) (string, error) {
	asked := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{a.Audience}}}
	r, err := a.Review(ctx, asked)
	switch {
	case err != nil:
		return "", fmt.Errorf("Failed to authenticate request. err:%w", err) //nolint:staticcheck // upstream's words
	case r.Status.Error != "":
		return "", fmt.Errorf("lookup failed: %s", r.Status.Error)
	case !r.Status.Authenticated:
		return "", errors.New("lookup failed: service account jwt not valid")
	case a.Audience != "" && !slices.Contains(r.Status.Audiences, a.Audience):
		return "", fmt.Errorf("lookup failed: the token is not for %q", a.Audience)
	}
	parts := strings.Split(r.Status.User.Username, ":")
	switch {
	case len(parts) != 4:
		return "", errors.New("lookup failed: unexpected username format")
	case parts[0] != "system" || parts[1] != "serviceaccount":
		return "", errors.New("lookup failed: username returned is not a service account")
	case parts[2] != a.Namespace:
		return "", fmt.Errorf("lookup failed: incoming request from %q namespace. Expected %q", parts[2], a.Namespace)
	case parts[3] != a.Name:
		return "", fmt.Errorf("lookup failed: incoming request from %q service account. Expected %q", parts[3], a.Name)
	}
	return r.Status.User.Username, nil
}

// NodeOf is the node that a client certificate of a kubelet is of, or "".
func NodeOf(certs []*x509.Certificate) string {
	if len(certs) == 0 || !slices.Contains(certs[0].Subject.Organization, "system:nodes") {
		return ""
	}
	node, ok := strings.CutPrefix(certs[0].Subject.CommonName, "system:node:")
	if !ok {
		return ""
	}
	return node
}

func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) > 0 {
		return v[0]
	}
	return ""
}

// bearer is the token that an agent sends, or "".
func bearer(md metadata.MD) (string, error) {
	all := md.Get(wire.Authorization)
	switch {
	case len(all) == 0:
		return "", nil
	case len(all) > 1:
		return "", fmt.Errorf("too many (%d) tokens are received", len(all))
	}
	token, ok := strings.CutPrefix(all[0], wire.Bearer)
	if !ok {
		return "", fmt.Errorf("received token does not have %q prefix", wire.Bearer)
	}
	return strings.TrimSpace(token), nil
}
