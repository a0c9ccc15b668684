package workload

import (
	"context"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var replicationControllerKind = corev1.SchemeGroupVersion.WithKind("ReplicationController")

// NewReplicationController makes the replicationcontroller-controller.
func NewReplicationController(env loop.Env) loop.Runner {
	rcs := cache.For[*corev1.ReplicationController](env.Informers, client.ReplicationControllers, cache.Options{})
	queue := loop.NewQueue()
	rcs.Handle(loop.Enqueue[*corev1.ReplicationController](queue))
	return newReplicas(env, flavor{
		kind: replicationControllerKind, resource: client.ReplicationControllers, view: loop.ViewOf(rcs),
		get: func(namespace, name string) (*appsv1.ReplicaSet, bool) {
			rc, ok := rcs.Get(namespace, name)
			if !ok {
				return nil, false
			}
			return asReplicaSet(rc), true
		},
		list: func(namespace string) []*appsv1.ReplicaSet {
			var out []*appsv1.ReplicaSet
			for _, rc := range rcs.List(namespace) {
				out = append(out, asReplicaSet(rc))
			}
			return out
		},
		base:     func(namespace, name string) (api.Object, bool) { return rcs.Get(namespace, name) },
		siblings: func(*appsv1.ReplicaSet) []*appsv1.ReplicaSet { return nil },
		putStatus: func(ctx context.Context, base api.Object, s appsv1.ReplicaSetStatus) (api.Object, error) {
			rc := base.(*corev1.ReplicationController).DeepCopy()
			rc.Status = asControllerStatus(s)
			return client.UpdateStatus(ctx, env.Door, client.ReplicationControllers, rc)
		},
	}, rcs.Synced(), queue)
}

// asReplicaSet returns a ReplicationController as the core sees it. It shares the controller's maps and template.
func asReplicaSet(rc *corev1.ReplicationController) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ReplicationController"},
		ObjectMeta: rc.ObjectMeta,
		Spec: appsv1.ReplicaSetSpec{
			Replicas:        rc.Spec.Replicas,
			MinReadySeconds: rc.Spec.MinReadySeconds,
			Selector:        &metav1.LabelSelector{MatchLabels: rc.Spec.Selector},
		},
		Status: appsv1.ReplicaSetStatus{
			Replicas:             rc.Status.Replicas,
			FullyLabeledReplicas: rc.Status.FullyLabeledReplicas,
			ReadyReplicas:        rc.Status.ReadyReplicas,
			AvailableReplicas:    rc.Status.AvailableReplicas,
			ObservedGeneration:   rc.Status.ObservedGeneration,
		},
	}
	if rc.Spec.Template != nil {
		rs.Spec.Template = *rc.Spec.Template
	}
	if rs.Spec.Replicas == nil {
		one := int32(1)
		rs.Spec.Replicas = &one
	}
	for _, c := range rc.Status.Conditions {
		rs.Status.Conditions = append(rs.Status.Conditions, appsv1.ReplicaSetCondition{
			Type: appsv1.ReplicaSetConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message,
		})
	}
	return rs
}

func asControllerStatus(s appsv1.ReplicaSetStatus) corev1.ReplicationControllerStatus {
	out := corev1.ReplicationControllerStatus{
		Replicas:             s.Replicas,
		FullyLabeledReplicas: s.FullyLabeledReplicas,
		ReadyReplicas:        s.ReadyReplicas,
		AvailableReplicas:    s.AvailableReplicas,
		ObservedGeneration:   s.ObservedGeneration,
	}
	for _, c := range s.Conditions {
		out.Conditions = append(out.Conditions, corev1.ReplicationControllerCondition{
			Type: corev1.ReplicationControllerConditionType(c.Type), Status: c.Status, LastTransitionTime: c.LastTransitionTime,
			Reason: c.Reason, Message: c.Message,
		})
	}
	return out
}
