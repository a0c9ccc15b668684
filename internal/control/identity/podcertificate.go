package identity

import (
	"context"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// podCertificateKept is how long a request for a pod's certificate is kept, whatever became of it: upstream's time, but each has a timer
// of its own instead of a round every five minutes.
const podCertificateKept = 15 * time.Minute

// NewPodCertificateCleaner makes the podcertificaterequest-cleaner-controller: old requests are deleted. Account:
// podcertificaterequestcleaner.
func NewPodCertificateCleaner(env loop.Env) loop.Runner {
	queue := loop.NewQueue()
	requests := cache.For[*certificatesv1.PodCertificateRequest](env.Informers, client.PodCertificateRequests, cache.Options{})
	requests.Handle(cache.Handler[*certificatesv1.PodCertificateRequest]{Add: func(r *certificatesv1.PodCertificateRequest) { queue.Add(loop.Key(r)) }})
	return &loop.Controller{
		Name: env.Name, Workers: 1, Queue: queue, Log: env.Log, Synced: []<-chan struct{}{requests.Synced()},
		Reconcile: func(ctx context.Context, key string) (time.Duration, error) {
			r, ok := requests.Get(loop.SplitKey(key))
			if !ok {
				return 0, nil
			}
			if left := time.Until(r.CreationTimestamp.Add(podCertificateKept)); left > 0 {
				return left, nil
			}
			err := client.Delete(ctx, env.Door, client.PodCertificateRequests, r.Namespace, r.Name, r.UID)
			if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
				err = nil
			}
			return 0, err
		},
	}
}
