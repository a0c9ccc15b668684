package workload

import (
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of a Deployment's conditions.
const (
	reasonUpdated     = "ReplicaSetUpdated"
	reasonCreateError = "ReplicaSetCreateError"
	reasonCreated     = "NewReplicaSetCreated"
	reasonFound       = "FoundNewReplicaSet"
	reasonAvailable   = "NewReplicaSetAvailable"
	reasonTimedOut    = "ProgressDeadlineExceeded"
	reasonPaused      = "DeploymentPaused"
	reasonResumed     = "DeploymentResumed"

	reasonMinAvailable   = "MinimumReplicasAvailable"
	reasonMinUnavailable = "MinimumReplicasUnavailable"
)

// statusNow counts the sets and judges availability. The other conditions are kept.
func (p *planner) statusNow() appsv1.DeploymentStatus {
	s := appsv1.DeploymentStatus{
		ObservedGeneration: p.d.Generation,
		CollisionCount:     p.d.Status.CollisionCount,
		Conditions:         slices.Clone(p.d.Status.Conditions),
	}
	terminating := new(int32)
	for _, rs := range p.all() {
		s.Replicas += rs.Status.Replicas
		s.ReadyReplicas += rs.Status.ReadyReplicas
		s.AvailableReplicas += rs.Status.AvailableReplicas
		switch {
		case rs.Status.TerminatingReplicas == nil && rs.Status.ObservedGeneration == 0: // too new to say
		case rs.Status.TerminatingReplicas == nil:
			terminating = nil
		case terminating != nil:
			*terminating += *rs.Status.TerminatingReplicas
		}
	}
	s.TerminatingReplicas = terminating
	s.UnavailableReplicas = max(0, total(p.all())-s.AvailableReplicas)
	if p.newRS != nil {
		s.UpdatedReplicas = p.newRS.Status.Replicas
	}
	_, unavailable := fenceposts(p.d)
	if s.AvailableReplicas >= *p.d.Spec.Replicas-unavailable {
		setCondition(&s, condition(appsv1.DeploymentAvailable, corev1.ConditionTrue, reasonMinAvailable, "Deployment has minimum availability.", p.now))
	} else {
		setCondition(&s, condition(appsv1.DeploymentAvailable, corev1.ConditionFalse, reasonMinUnavailable, "Deployment does not have minimum availability.", p.now))
	}
	return s
}

// rolloutStatus is statusNow with a judgement of progress, and asks for another look when the deadline is due.
func (p *planner) rolloutStatus() {
	s := p.statusNow()
	current := conditionOf(&p.d.Status, appsv1.DeploymentProgressing)
	if !hasProgressDeadline(p.d) {
		removeCondition(&s, appsv1.DeploymentProgressing)
	} else if s.Replicas != s.UpdatedReplicas || current == nil || current.Reason != reasonAvailable {
		p.judgeProgress(&s, current)
	}
	if failure := p.replicaFailure(); failure != nil {
		setCondition(&s, *failure)
	} else {
		removeCondition(&s, appsv1.DeploymentReplicaFailure)
	}
	p.d.Status = s
	p.plan.requeue = p.untilDeadline()
}

func (p *planner) judgeProgress(s *appsv1.DeploymentStatus, current *appsv1.DeploymentCondition) {
	what := fmt.Sprintf("Deployment %q", p.d.Name)
	if p.newRS != nil {
		what = fmt.Sprintf("ReplicaSet %q", p.newRS.Name)
	}
	switch {
	case complete(p.d, s):
		setCondition(s, condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonAvailable, what+" has successfully progressed.", p.now))
	case progressed(&p.d.Status, s):
		c := condition(appsv1.DeploymentProgressing, corev1.ConditionTrue, reasonUpdated, what+" is progressing.", p.now)
		if current != nil && current.Status == corev1.ConditionTrue {
			c.LastTransitionTime = current.LastTransitionTime
		}
		// Removed first, so that the update time moves though status and reason do not: the deadline counts from it.
		removeCondition(s, appsv1.DeploymentProgressing)
		setCondition(s, c)
	case p.timedOut(s):
		setCondition(s, condition(appsv1.DeploymentProgressing, corev1.ConditionFalse, reasonTimedOut, what+" has timed out progressing.", p.now))
	}
}

// complete reports whether the rollout has ended well: all replicas are new and available.
func complete(d *appsv1.Deployment, s *appsv1.DeploymentStatus) bool {
	want := *d.Spec.Replicas
	return s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want && s.ObservedGeneration >= d.Generation
}

// progressed reports whether there are more new, fewer old, more ready or more available replicas than before.
func progressed(before, now *appsv1.DeploymentStatus) bool {
	return now.UpdatedReplicas > before.UpdatedReplicas ||
		now.Replicas-now.UpdatedReplicas < before.Replicas-before.UpdatedReplicas ||
		now.ReadyReplicas > before.ReadyReplicas ||
		now.AvailableReplicas > before.AvailableReplicas
}

func (p *planner) timedOut(s *appsv1.DeploymentStatus) bool {
	c := conditionOf(s, appsv1.DeploymentProgressing)
	if c == nil || c.Reason == reasonAvailable {
		return false
	}
	return c.Reason == reasonTimedOut || c.LastUpdateTime.Add(p.deadline()).Before(p.now)
}

func (p *planner) deadline() time.Duration {
	return time.Duration(*p.d.Spec.ProgressDeadlineSeconds) * time.Second
}

// untilDeadline is the time after which the lack of progress is a failure, with a second for the coarseness of timestamps, or
// 0 if nothing is awaited.
func (p *planner) untilDeadline() time.Duration {
	c := conditionOf(&p.d.Status, appsv1.DeploymentProgressing)
	if !hasProgressDeadline(p.d) || c == nil || complete(p.d, &p.d.Status) || c.Reason == reasonTimedOut {
		return 0
	}
	return max(0, c.LastUpdateTime.Add(p.deadline()).Sub(p.now)) + time.Second
}

// replicaFailure is the failure condition of the new set, or of any.
func (p *planner) replicaFailure() *appsv1.DeploymentCondition {
	sets := p.old
	if p.newRS != nil {
		sets = append([]*appsv1.ReplicaSet{p.newRS}, p.old...)
	}
	for _, rs := range sets {
		for _, c := range rs.Status.Conditions {
			if c.Type == appsv1.ReplicaSetReplicaFailure {
				return &appsv1.DeploymentCondition{
					Type: appsv1.DeploymentReplicaFailure, Status: c.Status, Reason: c.Reason, Message: c.Message,
					LastUpdateTime: c.LastTransitionTime, LastTransitionTime: c.LastTransitionTime,
				}
			}
		}
	}
	return nil
}

// pauseConditions marks a pause and its end, so that the deadline does not run meanwhile.
func (p *planner) pauseConditions() {
	if !hasProgressDeadline(p.d) {
		return
	}
	c := conditionOf(&p.d.Status, appsv1.DeploymentProgressing)
	if c != nil && c.Reason == reasonTimedOut {
		return // keep what it was paused for
	}
	paused := c != nil && c.Reason == reasonPaused
	switch {
	case p.d.Spec.Paused && !paused:
		p.progress(corev1.ConditionUnknown, reasonPaused, "Deployment is paused")
	case !p.d.Spec.Paused && paused:
		p.progress(corev1.ConditionUnknown, reasonResumed, "Deployment is resumed")
	}
}

func (p *planner) progress(status corev1.ConditionStatus, reason, message string) {
	setCondition(&p.d.Status, condition(appsv1.DeploymentProgressing, status, reason, message, p.now))
}

func hasProgressDeadline(d *appsv1.Deployment) bool {
	return d.Spec.ProgressDeadlineSeconds != nil && *d.Spec.ProgressDeadlineSeconds != unlimited
}

func condition(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string, now time.Time) appsv1.DeploymentCondition {
	at := metav1.NewTime(now)
	return appsv1.DeploymentCondition{Type: kind, Status: status, Reason: reason, Message: message, LastUpdateTime: at, LastTransitionTime: at}
}

func conditionOf(s *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) *appsv1.DeploymentCondition {
	for i := range s.Conditions {
		if s.Conditions[i].Type == kind {
			return &s.Conditions[i]
		}
	}
	return nil
}

// setCondition puts c in place of the condition of its type, unless that says the same already.
func setCondition(s *appsv1.DeploymentStatus, c appsv1.DeploymentCondition) {
	if have := conditionOf(s, c.Type); have != nil {
		if have.Status == c.Status && have.Reason == c.Reason {
			return
		}
		if have.Status == c.Status {
			c.LastTransitionTime = have.LastTransitionTime
		}
	}
	removeCondition(s, c.Type)
	s.Conditions = append(s.Conditions, c)
}

func removeCondition(s *appsv1.DeploymentStatus, kind appsv1.DeploymentConditionType) {
	s.Conditions = slices.DeleteFunc(slices.Clone(s.Conditions), func(c appsv1.DeploymentCondition) bool { return c.Type == kind })
}
