package scheduler

import (
	"context"
	"encoding/json"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler/plugin"
	"sampan.dev/internal/control/scheduler/preempt"
)

// arm gives preemption what it needs to know and to do.
func (s *Scheduler) arm(profiles []*profile) {
	for _, p := range profiles {
		for _, f := range p.PostFilters {
			if d, ok := f.(*preempt.DefaultPreemption); ok {
				if s.budgets == nil {
					s.budgets = cache.For[*policyv1.PodDisruptionBudget](s.cfg.Informers, client.PodDisruptionBudgets, cache.Options{})
				}
				hands := preempt.Hands{Budgets: func() []*policyv1.PodDisruptionBudget { return s.budgets.List("") }, Evict: s.evict, Steady: p.steady}
				if s.cfg.Extenders != nil {
					hands.Extenders = s.cfg.Extenders
				}
				d.Connect(hands)
			}
		}
	}
}

// evict marks a pod as disrupted by preemption and deletes it, with the grace that it asks for. A pod that has gone is evicted.
func (s *Scheduler) evict(ctx context.Context, victim, preemptor *corev1.Pod, node string) error {
	condition := corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler,
		Message: preemptor.Spec.SchedulerName + ": preempting to accommodate a higher priority pod", ObservedGeneration: victim.Generation,
		LastTransitionTime: metav1.Now(),
	}
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": victim.UID}, "status": map[string]any{"conditions": []corev1.PodCondition{condition}},
	})
	if err != nil {
		panic(err) // plain values
	}
	ref := client.Ref{Resource: client.Pods, Namespace: victim.Namespace, Name: victim.Name}
	status := ref
	status.Subresource = "status"
	if _, err := s.cfg.Door.Patch(ctx, status, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return gone(err)
	}
	if err := s.cfg.Door.Delete(ctx, ref, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(victim.UID))}); err != nil {
		return gone(err)
	}
	s.cfg.Events.Related(victim, preemptor, corev1.EventTypeNormal, "Preempted", "Preempting", "Preempted by pod "+string(preemptor.UID)+" on node "+node)
	return nil
}

// gone is nil for an error that says that the pod is there no longer, or another one by its name.
func gone(err error) error {
	if settled(err) {
		return nil
	}
	return err
}

// settled reports whether an error says that the pod is there no longer, or has become another by somebody else's doing.
func settled(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// outbid ends the nominations of pods of lower priority for a node that pod has been nominated for.
func (s *Scheduler) outbid(ctx context.Context, pod *plugin.Pod, node string) {
	for _, other := range s.snapshot.nominated.byNode[node] {
		if priority(other) >= priority(pod) {
			continue
		}
		s.snapshot.nominated.drop(other.UID)
		ref := client.Ref{Resource: client.Pods, Namespace: other.Namespace, Name: other.Name, Subresource: "status"}
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": other.UID}, "status": map[string]any{"nominatedNodeName": nil}})
		if err != nil {
			panic(err) // plain values
		}
		s.clerks.do(ctx, func() {
			if _, err := s.cfg.Door.Patch(ctx, ref, types.MergePatchType, patch, metav1.PatchOptions{}); gone(err) != nil && ctx.Err() == nil {
				s.cfg.Log.Info("nomination not cleared", "pod", ref.Namespace+"/"+ref.Name, "error", err)
			}
		})
	}
}
