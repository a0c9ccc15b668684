package identity

import (
	"context"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// NewServiceAccount makes the serviceaccount-controller: every active namespace has a service account "default".
// Account: service-account-controller.
func NewServiceAccount(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	spaces := cache.For[*corev1.Namespace](env.Informers, client.Namespaces, cache.Options{})
	accounts := cache.For[*corev1.ServiceAccount](env.Informers, client.ServiceAccounts, cache.Options{})
	spaces.Handle(cache.Handler[*corev1.Namespace]{
		Add:    func(ns *corev1.Namespace) { queue.Add(ns.Name) },
		Update: func(_, ns *corev1.Namespace) { queue.Add(ns.Name) },
	})
	accounts.Handle(cache.Handler[*corev1.ServiceAccount]{
		Delete: func(sa *corev1.ServiceAccount) {
			if sa.Name == "default" {
				queue.Add(sa.Namespace)
			}
		},
	})
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{spaces.Synced(), accounts.Synced()},
		Reconcile: func(ctx context.Context, name string) (time.Duration, error) {
			ns, ok := spaces.Get("", name)
			if !ok || ns.Status.Phase != corev1.NamespaceActive {
				return 0, nil
			}
			if _, ok := accounts.Get(name, "default"); ok {
				return 0, nil
			}
			sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}}
			_, err := client.Create(ctx, env.Door, client.ServiceAccounts, sa)
			return 0, unlessGone(err)
		},
	}
}

// unlessGone forgives a create that came second, or into a namespace that is going or gone: what made it needless will
// have been seen by the time it matters.
func unlessGone(err error) error {
	if apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	return err
}
