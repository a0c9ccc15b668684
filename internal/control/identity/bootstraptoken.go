package identity

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"strings"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	tokenPrefix     = "bootstrap-token-"
	signaturePrefix = "jws-kubeconfig-"
)

// tokenSecrets are the bootstrap tokens, and none of the other secrets.
func tokenSecrets(env loop.Env) *cache.Informer[*corev1.Secret] {
	return cache.For[*corev1.Secret](env.Informers, client.Secrets, cache.Options{
		Namespace: metav1.NamespaceSystem, FieldSelector: "type=bootstrap.kubernetes.io/token",
	})
}

// expiry is when a token's time is over; ok is false when it has no end. One that cannot be read is over.
func expiry(s *corev1.Secret) (at time.Time, ok bool) {
	text := string(s.Data["expiration"])
	if text == "" {
		return time.Time{}, false
	}
	at, _ = time.Parse(time.RFC3339, text)
	return at, true
}

// NewTokenCleaner makes the token-cleaner-controller: bootstrap tokens are deleted when they expire. Account: token-cleaner.
func NewTokenCleaner(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	secrets := tokenSecrets(env)
	secrets.Handle(loop.Enqueue[*corev1.Secret](queue))
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{secrets.Synced()},
		Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			s, ok := secrets.Get(loop.SplitKey(key))
			if !ok {
				return 0, nil
			}
			at, ends := expiry(s)
			if !ends {
				return 0, nil
			}
			if left := time.Until(at); left > 0 {
				return left, nil
			}
			err := client.Delete(ctx, env.Door, client.Secrets, s.Namespace, s.Name, s.UID)
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				err = nil
			}
			return 0, err
		},
	}
}

// NewBootstrapSigner makes the bootstrap-signer-controller: the ConfigMap kube-public/cluster-info, which anybody may read,
// carries for each bootstrap token a signature that only its holder can check. Account: bootstrap-signer.
func NewBootstrapSigner(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	secrets := tokenSecrets(env)
	info := cache.For[*corev1.ConfigMap](env.Informers, client.ConfigMaps, cache.Options{
		Namespace: metav1.NamespacePublic, FieldSelector: "metadata.name=cluster-info",
	})
	const key = "kube-public/cluster-info"
	secrets.Handle(cache.Handler[*corev1.Secret]{
		Add: func(*corev1.Secret) { queue.Add(key) }, Update: func(_, _ *corev1.Secret) { queue.Add(key) }, Delete: func(*corev1.Secret) { queue.Add(key) },
	})
	info.Handle(loop.Enqueue[*corev1.ConfigMap](queue))
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{secrets.Synced(), info.Synced()},
		Reconcile: func(ctx context.Context, _ string) (time.Duration, error) {
			cm, ok := info.Get(metav1.NamespacePublic, "cluster-info")
			if !ok {
				return 0, nil
			}
			data := signed(cm.Data, secrets.List(metav1.NamespaceSystem), time.Now())
			if maps.Equal(data, cm.Data) {
				return 0, nil
			}
			cm = cm.DeepCopy()
			cm.Data = data
			_, err := client.Update(ctx, env.Door, client.ConfigMaps, cm)
			return 0, err
		},
	}
}

// signed is the data of cluster-info with the signatures of the good tokens and no others.
func signed(data map[string]string, tokens []*corev1.Secret, now time.Time) map[string]string {
	content, ok := data["kubeconfig"]
	if !ok {
		return data
	}
	out := map[string]string{}
	for k, v := range data {
		if !strings.HasPrefix(k, signaturePrefix) {
			out[k] = v
		}
	}
	for _, s := range tokens {
		id, secret := string(s.Data["token-id"]), string(s.Data["token-secret"])
		at, ends := expiry(s)
		if id == "" || secret == "" || s.Name != tokenPrefix+id || string(s.Data["usage-bootstrap-signing"]) != "true" || ends && !now.Before(at) {
			continue
		}
		out[signaturePrefix+id] = detachedSignature(content, id, secret)
	}
	return out
}

// detachedSignature is a JWS in compact form without its payload. Whoever checks it makes it anew and compares, so the bytes
// have to be those of upstream's library: header keys in this order and no spaces.
func detachedSignature(content, id, secret string) string {
	enc := base64.RawURLEncoding
	header := enc.EncodeToString([]byte(`{"alg":"HS256","kid":"` + id + `"}`))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(header + "." + enc.EncodeToString([]byte(content))))
	return header + ".." + enc.EncodeToString(mac.Sum(nil))
}
