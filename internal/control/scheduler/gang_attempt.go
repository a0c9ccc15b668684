package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler/plugin"
)

// Upstream's words for a gang of which too few pods find a node.
const (
	gangUnschedulable = "pod group is unschedulable"
	noVictims         = "pod group preemption: No preemption victims found for incoming preemptor"
)

// followGroups has the queue told of PodGroups, from the first pod on that is in one.
func (s *Scheduler) followGroups() {
	if s.groups != nil {
		return
	}
	s.groups = cache.For[*schedulingv1alpha3.PodGroup](s.cfg.Informers, client.PodGroups, cache.Options{})
	set := func(g, now *schedulingv1alpha3.PodGroup) {
		s.post(func() { s.queue.setGroup(gangKey{g.Namespace, g.Name}, now, time.Now()) })
	}
	s.groups.Handle(cache.Handler[*schedulingv1alpha3.PodGroup]{
		Add:    func(g *schedulingv1alpha3.PodGroup) { set(g, g) },
		Update: func(_, g *schedulingv1alpha3.PodGroup) { set(g, g) },
		Delete: func(g *schedulingv1alpha3.PodGroup) { set(g, nil) },
	})
}

// try is one pod of a gang in its turn: the node that it would have, or why there is none.
type try struct {
	*attempt // nil: there is no node
	out      outcome
}

// placeGang looks for nodes for all pods of a gang that wait, for each beside those before it, and has them bound only if enough of
// them get one. Nobody else sees where they would go before that is known.
func (s *Scheduler) placeGang(ctx context.Context, turn *waiting) {
	g := turn.turnOf
	team := g.loose()
	if err := g.check(s.membersOf(g, team)); err != nil {
		s.gangFailed(ctx, g, team, nil, err)
		return
	}
	rs := s.rankings[team[0].pod.Spec.SchedulerName]
	for _, w := range team {
		if by := s.early(ctx, rs.profile, w.pod); by != nil {
			turn.attempts--
			s.queue.turned(g, outcome{by: []plugin.Rejecting{by}}, time.Now())
			return
		}
	}
	so := progress{g.least(), g.placed(), len(team)}
	tries := make([]try, 0, len(team))
	for _, w := range team {
		if so.hopeless() != "" {
			break
		}
		w.attempts++
		w.began, w.moved = turn.began, turn.moved
		t := s.try(ctx, rs, w)
		tries = append(tries, t)
		if t.out.err != nil {
			s.undo(tries)
			s.gangFailed(ctx, g, team, w, t.out.err)
			return
		}
		so.left--
		if t.attempt != nil {
			so.placed++
		}
	}
	s.tally.algorithm.see(time.Since(turn.began).Seconds())
	s.endTurn(ctx, g, team, tries, so)
}

// endTurn has the pods bound that have a node, or gives all nodes back, and tells everybody.
func (s *Scheduler) endTurn(ctx context.Context, g *gang, team []*waiting, tries []try, so progress) {
	var by []plugin.Rejecting
	found := 0
	for _, t := range tries {
		if t.attempt != nil {
			found++
			continue
		}
		for _, one := range t.out.by {
			by = addRejecting(by, one)
		}
	}
	why, now := so.hopeless(), time.Now()
	if why == "" && found == 0 {
		why = gangUnschedulable
	}
	if why != "" {
		s.undo(tries)
		s.rejectGang(ctx, g, team, tries, by, why)
		return
	}
	for _, t := range tries {
		if t.attempt != nil {
			s.queue.to(t.w, inFlight)
		}
	}
	for i, t := range tries {
		if t.attempt == nil {
			s.tellMember(ctx, team[i], t.out.text, now)
			continue
		}
		s.endNomination(t.w.pod, t.node)
		s.notify(plugin.PodPlaced, t.node, t.w.pod)
		s.permit(ctx, t.attempt, s.snapshot.byName[t.node])
	}
	s.tellGroup(ctx, g, metav1.ConditionTrue, "Scheduled", "")
	s.queue.turned(g, outcome{by: by}, now)
}

// rejectGang sends all pods of a turn back to wait and tells why: each what it lacks itself, or that the others lack something.
func (s *Scheduler) rejectGang(ctx context.Context, g *gang, team []*waiting, tries []try, by []plugin.Rejecting, why string) {
	message, now := why, time.Now()
	if !s.outranks(team[0].pod) {
		message += ", " + noVictims
	}
	s.queue.turned(g, outcome{by: by, text: message}, now)
	for i, w := range team {
		text := gangUnschedulable + ", " + message
		switch {
		case i >= len(tries):
			text = gangUnschedulable + ", " + why
		case tries[i].attempt == nil:
			text = tries[i].out.text
		}
		s.tellMember(ctx, w, text, now)
	}
	s.tellGroup(ctx, g, metav1.ConditionFalse, schedulingv1alpha3.PodGroupReasonUnschedulable, message)
}

// outranks reports whether some pod on a node has a lower priority.
func (s *Scheduler) outranks(pod *plugin.Pod) bool {
	for _, at := range s.snapshot.placed {
		if priority(at.pod) < priority(pod) {
			return true
		}
	}
	return false
}

// try looks for a node for one pod and assumes that it is there, which undo takes back.
func (s *Scheduler) try(ctx context.Context, rs *rankings, w *waiting) try {
	t := try{out: s.choose(ctx, rs, w.pod)}
	if t.out.node == "" {
		return t
	}
	s.snapshot.addPod(t.out.node, w.pod)
	t.attempt = &attempt{w: w, profile: rs.profile, node: t.out.node}
	for _, r := range rs.profile.Reserves {
		if t.out.err = r.Reserve(w.pod, s.snapshot.byName[t.node]); t.out.err != nil {
			break
		}
	}
	return t
}

// undo takes pods off the nodes that were looked for in vain, the last one first.
func (s *Scheduler) undo(tries []try) {
	for i := len(tries) - 1; i >= 0; i-- {
		if a := tries[i].attempt; a != nil {
			a.unreserve()
			s.snapshot.removePod(a.pod().UID)
		}
	}
}

// membersOf are the pods that are to be tried and those of the gang that have a node.
func (s *Scheduler) membersOf(g *gang, team []*waiting) []*plugin.Pod {
	var out []*plugin.Pod
	for _, w := range team {
		out = append(out, w.pod)
	}
	for uid, has := range g.hasNode {
		if has {
			out = append(out, s.snapshot.placed[uid].pod)
		}
	}
	return out
}

// gangFailed sends a gang back that could not be judged, at the pod where that was (nil: none); it is tried again after its backoff.
func (s *Scheduler) gangFailed(ctx context.Context, g *gang, team []*waiting, at *waiting, err error) {
	all := err
	if at != nil {
		all = fmt.Errorf("failed to schedule other pod from a pod group: %w", err)
	}
	s.cfg.Log.Info("attempt failed", "pod_group", g.key.namespace+"/"+g.key.name, "error", err)
	now := time.Now()
	s.queue.turnFailed(g, now)
	for _, w := range team {
		one, pod := all, w.pod.Pod
		if w == at {
			one = err
		}
		s.tally.ended(pod.Spec.SchedulerName, "error", g.turn.began, now)
		s.clerks.do(ctx, func() { s.tellFailure(ctx, pod, one) })
	}
	s.tellGroup(ctx, g, metav1.ConditionFalse, schedulingv1alpha3.PodGroupReasonSchedulerError, all.Error())
}

// tellMember lets people see what keeps a pod of a gang from a node.
func (s *Scheduler) tellMember(ctx context.Context, w *waiting, text string, now time.Time) {
	pod := w.pod.Pod
	s.tally.ended(pod.Spec.SchedulerName, "unschedulable", w.began, now)
	s.cfg.Events.Event(pod, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", text)
	s.clerks.do(ctx, func() {
		s.markUnschedulable(ctx, pod, corev1.PodReasonUnschedulable, text, plugin.Nomination{})
	})
}

// tellGroup writes the condition of a PodGroup. One that has been placed once stays so, whatever becomes of further pods.
func (s *Scheduler) tellGroup(ctx context.Context, g *gang, status metav1.ConditionStatus, reason, message string) {
	group := g.group
	want := metav1.Condition{
		Type: schedulingv1alpha3.PodGroupInitiallyScheduled, Status: status, Reason: reason, Message: message, ObservedGeneration: group.Generation,
	}
	s.clerks.do(ctx, func() {
		if now, ok := s.groups.Get(group.Namespace, group.Name); ok && now.UID == group.UID {
			group = now
		}
		if was := meta.FindStatusCondition(group.Status.Conditions, want.Type); was != nil && was.Status == metav1.ConditionTrue && status != metav1.ConditionTrue {
			return
		}
		conditions := append([]metav1.Condition(nil), group.Status.Conditions...)
		if !meta.SetStatusCondition(&conditions, want) {
			return
		}
		patch, err := json.Marshal(map[string]any{
			"metadata": map[string]any{"uid": group.UID},
			"status":   map[string]any{"conditions": []metav1.Condition{*meta.FindStatusCondition(conditions, want.Type)}},
		})
		if err != nil {
			panic(err) // plain values
		}
		ref := client.Ref{Resource: client.PodGroups, Namespace: group.Namespace, Name: group.Name, Subresource: "status"}
		_, err = s.cfg.Door.Patch(ctx, ref, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
			s.cfg.Log.Warn("pod group status not written", "pod_group", g.key.namespace+"/"+g.key.name, "error", err)
		}
	})
}
