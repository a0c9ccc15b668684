package identity

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/api/pods"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Labels of Secrets with tokens, each a day (2006-01-02).
const (
	lastUsedLabel     = "kubernetes.io/legacy-token-last-used"
	invalidSinceLabel = "kubernetes.io/legacy-token-invalid-since"
)

// The ConfigMap in which the API server says since when it labels Secrets with the day of their tokens' last use.
const (
	trackingName = "kube-apiserver-legacy-service-account-token-tracking"
	trackingKey  = "since"
)

// cleanEvery is how often tokens are looked at, and cleanAfter how long one has to be unused by default.
const (
	cleanEvery = 24 * time.Hour
	cleanAfter = 365 * 24 * time.Hour
)

// unusedTokens is the legacy-serviceaccount-token-cleaner-controller.
type unusedTokens struct {
	loop.Env
	after    time.Duration
	secrets  *cache.Informer[*corev1.Secret]
	accounts *cache.Informer[*corev1.ServiceAccount]
	pods     *cache.Informer[*corev1.Pod]
}

// NewUnusedTokens makes the legacy-serviceaccount-token-cleaner-controller: a token that an account got by itself, as accounts did of
// old, and that nobody has used for after (0: a year), is marked as refused, and deleted when it has been refused as long. Account:
// legacy-service-account-token-cleaner.
func NewUnusedTokens(env loop.Env, after time.Duration) loop.Runner {
	if after <= 0 {
		after = cleanAfter
	}
	c := &unusedTokens{Env: env, after: after, secrets: accountSecrets(env),
		accounts: cache.For[*corev1.ServiceAccount](env.Informers, client.ServiceAccounts, cache.Options{}),
		pods:     cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})}
	queue := loop.NewQueue()
	queue.Add("tokens")
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: queue, Log: env.Log, Reconcile: c.reconcile,
		Synced: []<-chan struct{}{c.secrets.Synced(), c.accounts.Synced(), c.pods.Synced()},
	}
}

func (c *unusedTokens) reconcile(ctx context.Context, _ string) (time.Duration, error) {
	cm, err := client.Get[*corev1.ConfigMap](ctx, c.Door, client.ConfigMaps, metav1.NamespaceSystem, trackingName)
	if err != nil {
		return 0, err
	}
	since, err := time.Parse(time.DateOnly, cm.Data[trackingKey])
	if err != nil {
		return 0, fmt.Errorf("error parsing trackedSince time: %w", err)
	}
	now := time.Now().UTC()
	if now.Before(since.AddDate(0, 0, 1).Add(c.after)) {
		return cleanEvery, nil
	}
	for _, s := range c.secrets.List("") {
		if err := c.settle(ctx, s, now); err != nil {
			c.Log.Warn("token cannot be cleaned up", "secret", loop.Key(s), "err", err)
		}
	}
	return cleanEvery, nil
}

// settle does what is due to a Secret.
func (c *unusedTokens) settle(ctx context.Context, s *corev1.Secret, now time.Time) error {
	sa, ok := c.accounts.Get(s.Namespace, s.Annotations[corev1.ServiceAccountNameKey])
	uid := s.Annotations[corev1.ServiceAccountUIDKey]
	generated := ok && (uid == "" || uid == string(sa.UID)) && slices.ContainsFunc(sa.Secrets, func(r corev1.ObjectReference) bool { return r.Name == s.Name })
	if !generated {
		return nil
	}
	var err error
	switch due(s, now, c.after) {
	case refuse:
		if c.mounted(s) {
			return nil
		}
		_, err = client.MergePatch(ctx, c.Door, client.Ref{Resource: client.Secrets, Namespace: s.Namespace, Name: s.Name}, labelled(s.UID, invalidSinceLabel, day(now)))
	case remove:
		if c.mounted(s) {
			return nil
		}
		err = c.Door.Delete(ctx, client.Ref{Resource: client.Secrets, Namespace: s.Namespace, Name: s.Name},
			metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &s.ResourceVersion}})
	}
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}

// mounted reports whether a pod names the Secret.
func (c *unusedTokens) mounted(s *corev1.Secret) bool {
	found := false
	for _, p := range c.pods.List(s.Namespace) {
		pods.References(p, func(resource, name string) { found = found || resource == "secrets" && name == s.Name })
	}
	return found
}

// verdict is what becomes of a token.
type verdict int

const (
	keep verdict = iota
	refuse
	remove
)

// due decides about a token of an account's own making that no pod names. Days are compared as labels have them.
func due(s *corev1.Secret, now time.Time, after time.Duration) verdict {
	from := now.Add(-after)
	if !s.CreationTimestamp.Time.Before(from) || s.DeletionTimestamp != nil {
		return keep
	}
	if last, ok := s.Labels[lastUsedLabel]; ok {
		if _, err := time.Parse(time.DateOnly, last); err != nil || last >= day(from) {
			return keep // nobody knows when; or not long ago
		}
	}
	since := s.Labels[invalidSinceLabel]
	if _, err := time.Parse(time.DateOnly, since); err != nil {
		return refuse
	}
	if since >= day(from) {
		return keep
	}
	return remove
}
