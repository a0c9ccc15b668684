package authn

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Extras of a service account user that tell what its token is bound to.
const (
	extraPodName  = "authentication.kubernetes.io/pod-name"
	extraPodUID   = "authentication.kubernetes.io/pod-uid"
	extraNodeName = "authentication.kubernetes.io/node-name"
	extraNodeUID  = "authentication.kubernetes.io/node-uid"
)

// leeway between clocks, upstream's.
const leeway = time.Minute

// Tokens authenticates bearer tokens: service accounts' and bootstrap tokens.
type Tokens struct {
	issuers   []string
	keys      *Keys
	audiences []string
	door      client.Interface
	outsiders Outsiders
	signed    *recent[[sha256.Size]byte, *claims] // tokens whose signature was good
}

// TokenConfig makes a Tokens.
type TokenConfig struct {
	Issuers   []string // the first is our own
	Keys      *Keys
	Audiences []string         // of this API server; default: the issuers
	Door      client.Interface // the hub's own
	Outsiders Outsiders
}

// Response is what a good token stands for. Audiences are those of the token that were asked for.
type Response struct {
	User      api.User
	Audiences []string
}

type claims struct {
	jwt.Claims
	privateClaims
	secretClaims
}

// NewTokens makes it.
func NewTokens(cfg TokenConfig) *Tokens {
	t := &Tokens{issuers: cfg.Issuers, keys: cfg.Keys, audiences: cfg.Audiences, door: cfg.Door, outsiders: cfg.Outsiders, signed: newRecent[[sha256.Size]byte, *claims](4096)}
	if len(t.audiences) == 0 {
		t.audiences = cfg.Issuers
	}
	return t
}

// Audiences are the API server's own.
func (t *Tokens) Audiences() []string { return t.audiences }

// Authenticate tells whom token stands for. audiences are those the token has to be meant for (any one suffices); none
// means the API server. ok false with a nil error means that it is no token of ours.
func (t *Tokens) Authenticate(ctx context.Context, token string, audiences []string) (Response, bool, error) {
	if u, ok := t.outsiders.File[token]; ok {
		return t.here(u, audiences)
	}
	r, ok, err := t.account(ctx, token, audiences)
	if ok || err != nil {
		return r, ok, err
	}
	u, ok, err := t.bootstrap(ctx, token)
	switch {
	case ok:
		return t.here(u, audiences)
	case err != nil:
		return Response{}, false, err
	}
	return t.outside(ctx, token, audiences)
}

// here is the response of a token that is meant for the API server and nobody else.
func (t *Tokens) here(u api.User, audiences []string) (Response, bool, error) {
	auds := t.audiences
	if len(audiences) > 0 {
		auds = intersect(t.audiences, audiences)
	}
	if len(auds) == 0 {
		return Response{}, false, nil
	}
	return Response{User: u, Audiences: auds}, true, nil
}

// account authenticates a service account's token.
func (t *Tokens) account(ctx context.Context, token string, audiences []string) (Response, bool, error) {
	issuer := unverifiedIssuer(token)
	if issuer == SecretIssuer {
		return t.ofSecret(ctx, token, audiences)
	}
	if !slices.Contains(t.issuers, issuer) {
		return Response{}, false, nil
	}
	c, ok, err := t.verify(token)
	if !ok || err != nil {
		return Response{}, false, err
	}
	if len(audiences) == 0 {
		audiences = t.audiences
	}
	auds := intersect(c.Audience, audiences)
	if len(auds) == 0 {
		return Response{}, false, fmt.Errorf("token audiences %q is invalid for the target audiences %q", []string(c.Audience), audiences)
	}
	if err := inTime(c.Claims, time.Now()); err != nil {
		return Response{}, false, err
	}
	user, err := t.bound(ctx, c)
	if err != nil {
		return Response{}, false, err
	}
	return Response{User: user, Audiences: auds}, true, nil
}

// verify checks the signature, once per token while it is remembered.
func (t *Tokens) verify(token string) (*claims, bool, error) {
	sum := sha256.Sum256([]byte(token))
	if c, ok := t.signed.get(sum); ok {
		return c, true, nil
	}
	tok, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512})
	if err != nil || len(tok.Headers) != 1 {
		return nil, false, nil
	}
	keys := t.keys.find(tok.Headers[0].KeyID)
	if len(keys) == 0 {
		return nil, false, errors.New("invalid signature, no keys found")
	}
	var errs []error
	for _, k := range keys {
		if string(k.alg) != tok.Headers[0].Algorithm {
			errs = append(errs, jose.ErrCryptoFailure)
			continue
		}
		c := &claims{}
		if err := tok.Claims(k.public, &c.Claims, &c.privateClaims, &c.secretClaims); err != nil {
			errs = append(errs, err)
			continue
		}
		if c.Issuer != SecretIssuer && !slices.Contains(t.issuers, c.Issuer) {
			return nil, false, fmt.Errorf("token issuer %q is invalid", c.Issuer)
		}
		t.signed.put(sum, c)
		return c, true, nil
	}
	return nil, false, errors.Join(errs...)
}

func inTime(c jwt.Claims, now time.Time) error {
	switch {
	case c.NotBefore != nil && now.Add(leeway).Before(c.NotBefore.Time()):
		return errors.New("service account token is not valid yet")
	case c.Expiry == nil || now.Add(-leeway).After(c.Expiry.Time()):
		return errors.New("service account token has expired")
	case c.IssuedAt != nil && now.Add(leeway).Before(c.IssuedAt.Time()):
		return errors.New("service account token is issued in the future")
	}
	return nil
}

var errInvalidated = errors.New("service account token has been invalidated")

// bound checks that the account and what the token is bound to still are what they were.
func (t *Tokens) bound(ctx context.Context, c *claims) (api.User, error) {
	k := &c.Kubernetes
	deadline := time.Now().Add(-leeway)
	sa, err := lookup[*corev1.ServiceAccount](ctx, t.door, client.ServiceAccounts, k.Namespace, k.Account)
	if err != nil {
		return api.User{}, err
	}
	if string(sa.UID) != k.Account.UID {
		return api.User{}, fmt.Errorf("service account UID (%s) does not match claim (%s)", sa.UID, k.Account.UID)
	}
	if gone(sa, deadline) {
		return api.User{}, fmt.Errorf("service account %s/%s has been deleted", k.Namespace, k.Account.Name)
	}
	u := api.ServiceAccount(k.Namespace, k.Account.Name, k.Account.UID)
	u.Extra = map[string][]string{}
	if c.ID != "" {
		u.Extra[CredentialID] = []string{"JTI=" + c.ID}
	}
	if k.Secret != nil {
		if err := alive[*corev1.Secret](ctx, t.door, client.Secrets, k.Namespace, *k.Secret, "secret UID (%s) does not match service account secret ref claim (%s)", deadline); err != nil {
			return api.User{}, err
		}
	}
	if k.Pod != nil {
		if err := alive[*corev1.Pod](ctx, t.door, client.Pods, k.Namespace, *k.Pod, "pod UID (%s) does not match service account pod ref claim (%s)", deadline); err != nil {
			return api.User{}, err
		}
		u.Extra[extraPodName], u.Extra[extraPodUID] = []string{k.Pod.Name}, []string{k.Pod.UID}
	}
	if k.Node != nil {
		if k.Pod == nil {
			if err := alive[*corev1.Node](ctx, t.door, client.Nodes, "", *k.Node, "node UID (%s) does not match service account node ref claim (%s)", deadline); err != nil {
				return api.User{}, err
			}
		}
		u.Extra[extraNodeName] = []string{k.Node.Name}
		if k.Node.UID != "" {
			u.Extra[extraNodeUID] = []string{k.Node.UID}
		}
	}
	return u, nil
}

func alive[T api.Object](ctx context.Context, door client.Reader, res schema.GroupVersionResource, namespace string, ref objectRef, mismatch string, deadline time.Time) error {
	obj, err := lookup[T](ctx, door, res, namespace, ref)
	if err != nil {
		return errInvalidated
	}
	if string(obj.GetUID()) != ref.UID {
		return fmt.Errorf(mismatch, obj.GetUID(), ref.UID)
	}
	if gone(obj, deadline) {
		return errInvalidated
	}
	return nil
}

func gone(obj api.Object, deadline time.Time) bool {
	d := obj.GetDeletionTimestamp()
	return d != nil && d.Time.Before(deadline)
}

// lookup reads from the cache as it stands, and again up to date when that has not what the token says: the object may
// be younger than the cache.
func lookup[T api.Object](ctx context.Context, door client.Reader, res schema.GroupVersionResource, namespace string, ref objectRef) (T, error) {
	r := client.Ref{Resource: res, Namespace: namespace, Name: ref.Name}
	var zero T
	for _, rv := range []string{"0", ""} {
		obj, err := door.Get(ctx, r, metav1.GetOptions{ResourceVersion: rv})
		if rv == "0" && err != nil {
			continue
		}
		if err != nil {
			return zero, err
		}
		o, ok := obj.(T)
		if !ok {
			return zero, apierrors.NewInternalError(fmt.Errorf("%s %s is %T", res.Resource, ref.Name, obj))
		}
		if rv == "" || string(o.GetUID()) == ref.UID {
			return o, nil
		}
	}
	return zero, errInvalidated
}

// unverifiedIssuer reads the iss claim of what looks like a token in compact form; nothing else of it may be believed.
func unverifiedIssuer(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var c struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &c) != nil {
		return ""
	}
	return c.Issuer
}

func intersect(a, b []string) []string {
	var out []string
	for _, x := range a {
		if slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}
