package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

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

// bindBy has an extender that binds write the binding, or writes it.
func (s *Scheduler) bindBy(ctx context.Context, pod *corev1.Pod, node string) error {
	if bound, err := s.cfg.Extenders.Bind(ctx, pod, node); bound {
		return err
	}
	if err := s.bind(ctx, pod, node); err != nil {
		return fmt.Errorf("running Bind plugin %q: %w", "DefaultBinder", err)
	}
	return nil
}

// bind writes the pod's node through its binding subresource. The UID makes sure that it is this pod and not another one
// that took its name.
func (s *Scheduler) bind(ctx context.Context, pod *corev1.Pod, node string) error {
	b := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: node},
	}
	ref := client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name, Subresource: "binding"}
	_, err := s.cfg.Door.Create(ctx, ref, b, metav1.CreateOptions{})
	return err
}

// markUnschedulable sets the PodScheduled condition to False, and the nominated node when found has one or cancels it. It
// writes nothing that the pod says already.
func (s *Scheduler) markUnschedulable(ctx context.Context, pod *corev1.Pod, reason, message string, found plugin.Nomination) {
	want := corev1.PodCondition{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: reason, Message: message,
		ObservedGeneration: pod.Generation,
	}
	// The newest version that is known, so that what another attempt has just written is not written again.
	if now, ok := s.pods.Get(pod.Namespace, pod.Name); ok && now.UID == pod.UID {
		pod = now
	}
	nominated := pod.Status.NominatedNodeName
	if found.Node != "" || found.Cancel {
		nominated = found.Node
	}
	changed := metav1.NewTime(time.Now())
	for _, c := range pod.Status.Conditions {
		if c.Type != want.Type {
			continue
		}
		if c.Status == want.Status && c.Reason == want.Reason && c.Message == want.Message && c.ObservedGeneration == want.ObservedGeneration &&
			nominated == pod.Status.NominatedNodeName {
			return
		}
		if c.Status == want.Status {
			changed = c.LastTransitionTime
		}
	}
	want.LastTransitionTime = changed
	err := s.putCondition(ctx, pod, want, nominated)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
		s.cfg.Log.Warn("pod status not written", "pod", pod.Namespace+"/"+pod.Name, "error", err)
	}
}

// putCondition writes the condition on top of the pod's version that is known, which saves the hub from reading and applying
// a patch; when that version is no longer the newest it sends the patch.
func (s *Scheduler) putCondition(ctx context.Context, pod *corev1.Pod, want corev1.PodCondition, nominated string) error {
	next := *pod // the client copies what it is given
	next.Status.NominatedNodeName = nominated
	next.Status.Conditions = slices.Clone(pod.Status.Conditions)
	if i := slices.IndexFunc(next.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == want.Type }); i >= 0 {
		next.Status.Conditions[i] = want
	} else {
		next.Status.Conditions = append(next.Status.Conditions, want)
	}
	if _, err := client.UpdateStatus(ctx, s.cfg.Door, client.Pods, &next); !apierrors.IsConflict(err) {
		return err
	}
	status := map[string]any{"conditions": []corev1.PodCondition{want}}
	if nominated != pod.Status.NominatedNodeName {
		status["nominatedNodeName"] = nominated
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		panic(err) // plain values
	}
	ref := client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name, Subresource: "status"}
	_, err = s.cfg.Door.Patch(ctx, ref, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

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
