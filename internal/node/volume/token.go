package volume

import (
	"context"
	"fmt"
	"sync"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// tokenMaxAge is the age at which a token is renewed whatever its life is.
const tokenMaxAge = 24 * time.Hour

// tokens are the service account tokens that pods' volumes show, so that looking at a volume again asks for none anew. Volumes of
// a pod with the same audience and life share one.
type tokens struct {
	mu struct {
		sync.Mutex
		held map[tokenKey]token
	}
}

type tokenKey struct {
	uid      types.UID
	audience string
	seconds  int64 // of life, as asked for; 0: the hub's choice
}

type token struct {
	authv1.TokenRequestStatus
	renew time.Time
}

func newTokens() *tokens {
	t := &tokens{}
	t.mu.held = map[tokenKey]token{}
	return t
}

// get returns a token for a pod, with ask for a new one when there is none or it has lived four fifths of its life. From then on it is kept
// for the pod, and due again.
func (t *tokens) get(ctx context.Context, ask TokenSource, pod *corev1.Pod, audience string, seconds int64) (authv1.TokenRequestStatus, error) {
	key, now := tokenKey{pod.UID, audience, seconds}, time.Now()
	t.mu.Lock()
	have, ok := t.mu.held[key]
	t.mu.Unlock()
	if ok && now.Before(have.renew) {
		return have.TokenRequestStatus, nil
	}
	res, err := askToken(ctx, ask, pod, audience, seconds)
	if err != nil {
		return res.Status, err
	}
	life := min(res.Status.ExpirationTimestamp.Sub(now)*4/5, tokenMaxAge)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.held[key] = token{res.Status, now.Add(life)}
	return res.Status, nil
}

// askToken asks for a token that is bound to a pod. seconds of 0 leaves its life to the hub.
func askToken(ctx context.Context, ask TokenSource, pod *corev1.Pod, audience string, seconds int64) (*authv1.TokenRequest, error) {
	req := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{
		BoundObjectRef: &authv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}}}
	if audience != "" {
		req.Spec.Audiences = []string{audience}
	}
	if seconds > 0 {
		req.Spec.ExpirationSeconds = &seconds
	}
	res, err := ask(ctx, pod, req)
	if err != nil {
		return &authv1.TokenRequest{}, fmt.Errorf("failed to fetch token: %w", err)
	}
	return res, nil
}

// due is when the first of a pod's tokens is to be renewed; ok is false for a pod without tokens.
func (t *tokens) due(uid types.UID) (at time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, have := range t.mu.held {
		if key.uid == uid && (!ok || have.renew.Before(at)) {
			at, ok = have.renew, true
		}
	}
	return at, ok
}

// forget drops the tokens of a pod.
func (t *tokens) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.mu.held {
		if key.uid == uid {
			delete(t.mu.held, key)
		}
	}
}
