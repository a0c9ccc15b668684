package object

import (
	"context"
	"errors"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/types"
)

// bundles are the cluster's trust bundles, which are watched, all of them, while a pod shows some.
type bundles struct {
	users  map[types.UID]bool
	inf    *cache.Informer[*certificatesv1.ClusterTrustBundle]
	cancel context.CancelFunc
}

// bundlesLocked begins to watch, if nobody does.
func (o *Reader) bundlesLocked() *bundles {
	if b := o.mu.bundles; b != nil {
		return b
	}
	ctx, cancel := context.WithCancel(o.ctx)
	b := &bundles{users: map[types.UID]bool{}, cancel: cancel}
	b.inf = cache.New[*certificatesv1.ClusterTrustBundle](o.door, client.ClusterTrustBundles, cache.Options{}, o.log)
	tell := func(*certificatesv1.ClusterTrustBundle) { o.tellBundles(b) }
	b.inf.Handle(cache.Handler[*certificatesv1.ClusterTrustBundle]{Add: tell, Update: func(_, now *certificatesv1.ClusterTrustBundle) { tell(now) }, Delete: tell})
	o.mu.bundles = b
	o.wg.Go(func() { b.inf.Run(ctx) })
	return b
}

func (o *Reader) tellBundles(b *bundles) {
	o.mu.Lock()
	users := o.staleLocked(b.users)
	o.mu.Unlock()
	for _, uid := range users {
		o.wake(uid)
	}
}

// dropBundlesLocked ends the watch with the last pod that shows any.
func (o *Reader) dropBundlesLocked(uid types.UID) {
	b := o.mu.bundles
	if b == nil {
		return
	}
	if delete(b.users, uid); len(b.users) == 0 {
		b.cancel()
		o.mu.bundles = nil
	}
}

// TrustBundles are all of the cluster's, for a pod that shows some.
func (o *Reader) TrustBundles(ctx context.Context) ([]*certificatesv1.ClusterTrustBundle, error) {
	o.mu.Lock()
	b := o.mu.bundles
	o.mu.Unlock()
	if b == nil {
		return nil, errors.New("ClusterTrustBundle projection is not supported in static kubelet mode")
	}
	select {
	case <-b.inf.Synced():
		return b.inf.List(""), nil
	case <-ctx.Done():
		return nil, errors.New("ClusterTrustBundle informer has not yet synced")
	}
}
