package workload

import (
	"context"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var replicaSetKind = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")

// NewReplicaSet makes the replicaset-controller.
func NewReplicaSet(env loop.Env) loop.Runner {
	sets := cache.For[*appsv1.ReplicaSet](env.Informers, client.ReplicaSets, cache.Options{})
	sets.AddIndex(loop.OwnerIndexName, loop.OwnerIndex[*appsv1.ReplicaSet])
	queue := loop.NewQueue()
	sets.Handle(loop.Enqueue[*appsv1.ReplicaSet](queue))
	return newReplicas(env, flavor{
		kind: replicaSetKind, resource: client.ReplicaSets, view: loop.ViewOf(sets), countsTerminating: true,
		get: sets.Get, list: sets.List,
		base: func(namespace, name string) (api.Object, bool) { return sets.Get(namespace, name) },
		siblings: func(rs *appsv1.ReplicaSet) []*appsv1.ReplicaSet {
			if ref := metav1.GetControllerOfNoCopy(rs); ref != nil {
				return sets.ByIndex(loop.OwnerIndexName, string(ref.UID))
			}
			return nil
		},
		putStatus: func(ctx context.Context, base api.Object, s appsv1.ReplicaSetStatus) (api.Object, error) {
			rs := base.(*appsv1.ReplicaSet).DeepCopy()
			rs.Status = s
			return client.UpdateStatus(ctx, env.Door, client.ReplicaSets, rs)
		},
	}, sets.Synced(), queue)
}
