package remote

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"sampan.dev/internal/client"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tokenLife is how long a token of an Account is asked to live; it is replaced when a fifth of that is left.
const tokenLife = time.Hour

// Account is a transport that speaks as a service account whose tokens somebody else asks for: a node, for what runs on it and is
// not the kubelet, or a controller manager, for its controllers. A node's tokens are bound to its Node, so that they end with it.
// A token is asked for when a request finds none that lasts, so who is idle asks for none.
//
// A cluster that does not give such tokens is spoken to as the one who asks.
type Account struct {
	Namespace, Name string
	Node            string            // the tokens are bound to its Node; "" binds them to nothing
	Make            bool              // make the account where there is none
	Door            client.Interface  // of the one who asks
	Bare            http.RoundTripper // shows no credentials
	Own             http.RoundTripper // shows those of the one who asks
	Log             *slog.Logger

	mu struct {
		sync.Mutex
		token   string
		replace time.Time // the token then
		until   time.Time // it is no good from then on
		refused bool
	}
}

// RoundTrip implements http.RoundTripper.
func (a *Account) RoundTrip(r *http.Request) (*http.Response, error) {
	token, err := a.get(r.Context())
	if err != nil {
		return nil, err
	}
	if token == "" {
		return a.Own.RoundTrip(r)
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := a.Bare.RoundTrip(r)
	if err == nil && res.StatusCode == http.StatusUnauthorized {
		a.drop(token) // its Node was made anew, or the cluster's key
	}
	return res, err
}

// get returns a token, or "" where there is none to be had. One caller asks while the others wait.
func (a *Account) get(ctx context.Context) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.mu.refused || a.mu.token != "" && now.Before(a.mu.replace) {
		return a.mu.token, nil
	}
	token, until, err := a.ask(ctx)
	switch {
	case err == nil:
		a.mu.token, a.mu.until = token, until
		a.mu.replace = now.Add(until.Sub(now) * 4 / 5)
	case a.mu.token != "" && now.Before(a.mu.until):
		a.mu.replace = now.Add(10 * time.Second) // the one there is does for now
	case apierrors.IsForbidden(err) || apierrors.IsNotFound(err):
		a.Log.Warn("the cluster gives no token of the account: using the identity of the one who asks", "account", a.Namespace+"/"+a.Name, "error", err)
		a.mu.token, a.mu.refused = "", true
	default:
		return "", fmt.Errorf("token of service account %s/%s: %w", a.Namespace, a.Name, err)
	}
	return a.mu.token, nil
}

func (a *Account) drop(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mu.token == token {
		a.mu.token = ""
	}
}

func (a *Account) ask(ctx context.Context) (token string, until time.Time, err error) {
	seconds := int64(tokenLife / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if a.Node != "" {
		node, err := a.node(ctx)
		if err != nil {
			return "", time.Time{}, err
		}
		request.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID}
	}
	ref := client.Ref{Resource: client.ServiceAccounts, Namespace: a.Namespace, Name: a.Name, Subresource: "token"}
	out, err := a.Door.Create(ctx, ref, request, metav1.CreateOptions{})
	if a.Make && apierrors.IsNotFound(err) {
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Name: a.Name}}
		if _, err = client.Create(ctx, a.Door, client.ServiceAccounts, account); err != nil && !apierrors.IsAlreadyExists(err) {
			return "", time.Time{}, err
		}
		out, err = a.Door.Create(ctx, ref, request, metav1.CreateOptions{})
	}
	if err != nil {
		return "", time.Time{}, err
	}
	tr, ok := out.(*authenticationv1.TokenRequest)
	if !ok || tr.Status.Token == "" {
		return "", time.Time{}, fmt.Errorf("answer is %T without a token", out)
	}
	return tr.Status.Token, tr.Status.ExpirationTimestamp.Time, nil
}

// node waits for the node's own Node, which its kubelet makes meanwhile when the machine has just joined.
func (a *Account) node(ctx context.Context) (*corev1.Node, error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		n, err := client.Get[*corev1.Node](ctx, a.Door, client.Nodes, "", a.Node)
		if !apierrors.IsNotFound(err) {
			return n, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}
