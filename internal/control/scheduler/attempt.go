package scheduler

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/api/unbuilt"
	"sampan.dev/internal/control/scheduler/plugin"
)

// attempt is a pod on its way to a node that was chosen for it: assumed, reserved, permitted, and on a binder's goroutine
// PreBind and the binding itself. It comes to an end once: bound, given up, or dropped because the pod has gone.
type attempt struct {
	w       *waiting
	profile *profile
	node    string
	holders []plugin.Permit // that have not released it; while there are any it is in Scheduler.held
	until   time.Time       // when the first of them runs out of patience
	late    plugin.Permit   // that one
}

const preemptionName = "DefaultPreemption"

func (a *attempt) pod() *plugin.Pod { return a.w.pod }

// place runs a cycle for one pod, or for the pods of a gang, and sees to the outcome.
func (s *Scheduler) place(ctx context.Context, w *waiting) {
	if w.turnOf != nil {
		s.placeGang(ctx, w)
		return
	}
	rs := s.rankings[w.pod.Spec.SchedulerName]
	if by := s.early(ctx, rs.profile, w.pod); by != nil {
		w.attempts--
		s.queue.returned(w, outcome{by: []plugin.Rejecting{by}}, time.Now())
		return
	}
	out := s.choose(ctx, rs, w.pod)
	s.tally.algorithm.see(time.Since(w.began).Seconds())
	if out.node == "" {
		s.noNode(ctx, rs.profile, w, out)
		return
	}
	s.endNomination(w.pod, out.node)
	s.snapshot.addPod(out.node, w.pod)
	s.notify(plugin.PodPlaced, out.node, w.pod)
	a := &attempt{w: w, profile: rs.profile, node: out.node}
	node := s.snapshot.byName[out.node]
	for _, r := range a.profile.Reserves {
		if err := r.Reserve(w.pod, node); err != nil {
			s.giveUp(a, err)
			return
		}
	}
	s.permit(ctx, a, node)
}

// early returns the plugin that keeps a pod from being tried, if one does, when what the pod's plugins look at has been read.
func (s *Scheduler) early(ctx context.Context, p *profile, pod *plugin.Pod) plugin.Rejecting {
	if pod.Claimed {
		s.awaitStorage(ctx)
	}
	if pod.Devices {
		s.awaitDevices(ctx)
	}
	return p.early(pod)
}

// choose runs the cycle for one pod.
func (s *Scheduler) choose(ctx context.Context, rs *rankings, pod *plugin.Pod) outcome {
	if s.cfg.Extenders.Interested(pod.Pod) {
		return rs.placeExtended(ctx, pod, s.snapshot, s.cfg.Extenders, s.dice)
	}
	return rs.place(pod, s.snapshot, s.dice)
}

// noNode asks the PostFilters for a way out and sends the pod back to wait.
func (s *Scheduler) noNode(ctx context.Context, p *profile, w *waiting, out outcome) {
	if out.err != nil {
		s.failed(ctx, w, out.err)
		return
	}
	var found plugin.Nomination
	sep := " "
	for _, f := range p.PostFilters {
		if out.nodes == 0 {
			break
		}
		one := f.PostFilter(w.pod, out.resolvable, p.without(w.pod, s.snapshot))
		if f.Name() == preemptionName {
			s.tally.preempted++
		}
		if one.Message != "" {
			out.text += sep + one.Message
			sep = ", "
		}
		if one.Node == "" && one.Evict != nil { // it makes no room, but a better start for the next attempt
			s.makeWay(ctx, w.pod.Pod, one)
			continue
		}
		if found = one; found.Node != "" {
			break
		}
	}
	switch {
	case found.Node != "":
		s.tally.victims.see(float64(len(found.Victims)))
		s.endNomination(w.pod, found.Node)
		s.outbid(ctx, w.pod, found.Node)
		s.snapshot.nominated.set(w.pod, found.Node)
		s.snapshot.nominated.await(w.pod.UID, found.Victims)
	case found.Cancel:
		s.endNomination(w.pod, "")
	}
	s.unschedulable(ctx, w, out, found)
}

// failed sends a pod back that a plugin could not judge; it is tried again after its backoff.
func (s *Scheduler) failed(ctx context.Context, w *waiting, err error) {
	s.tally.ended(w.pod.Spec.SchedulerName, "error", w.began, time.Now())
	s.cfg.Log.Info("attempt failed", "pod", w.pod.Namespace+"/"+w.pod.Name, "error", err)
	s.queue.failed(w, time.Now())
	pod := w.pod.Pod
	s.clerks.do(ctx, func() { s.tellFailure(ctx, pod, err) })
}

// makeWay does what a PostFilter has found.
func (s *Scheduler) makeWay(ctx context.Context, pod *corev1.Pod, found plugin.Nomination) {
	s.clerks.do(ctx, func() {
		if err := found.Evict(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Info("no way made", "pod", pod.Namespace+"/"+pod.Name, "error", err)
		}
	})
}

// unschedulable sends a pod back to wait for what helps, tells why everywhere, and evicts what the nomination says.
func (s *Scheduler) unschedulable(ctx context.Context, w *waiting, out outcome, found plugin.Nomination) {
	pod, now := w.pod.Pod, time.Now()
	s.tally.ended(pod.Spec.SchedulerName, "unschedulable", w.began, now)
	s.queue.returned(w, out, now)
	s.cfg.Events.Event(pod, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", out.text)
	message := out.text
	s.clerks.do(ctx, func() {
		s.markUnschedulable(ctx, pod, corev1.PodReasonUnschedulable, message, found)
		if found.Evict == nil {
			return
		}
		if err := found.Evict(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Info("preemption failed", "pod", pod.Namespace+"/"+pod.Name, "node", found.Node, "error", err)
			s.post(func() { s.queue.retry(pod.UID, time.Now()) })
		}
	})
}

// without answers what a PostFilter supposes, by taking the victims out of the node and of the indexes and putting them back.
func (p *profile) without(pod *plugin.Pod, s *snapshot) plugin.Without {
	return func(node *plugin.Node, victims []*plugin.Pod) plugin.Verdict {
		for _, v := range victims {
			node = node.WithoutPod(v)
			p.suppose(v, node, -1)
		}
		_, said := p.admit(pod, node, s)
		for _, v := range victims {
			node = node.WithPod(v)
			p.suppose(v, node, +1)
		}
		return said
	}
}

// permit asks the Permits, and has the binding written unless one of them rejects the pod or wants it to wait.
func (s *Scheduler) permit(ctx context.Context, a *attempt, node *plugin.Node) {
	for _, p := range a.profile.Permits {
		answer := p.Permit(a.pod(), node)
		for _, uid := range answer.Release {
			s.release(ctx, uid, p)
		}
		if !answer.Fits() {
			s.refuse(ctx, a, p, answer.Reasons[0])
			return
		}
		if answer.Wait > 0 {
			a.holders = append(a.holders, p)
			if until := time.Now().Add(answer.Wait); a.late == nil || until.Before(a.until) {
				a.until, a.late = until, p
			}
		}
	}
	if len(a.holders) > 0 {
		s.held[a.pod().UID] = a
		return
	}
	s.finish(ctx, a)
}

// release lets a pod go on that by has held back, unless others hold it too.
func (s *Scheduler) release(ctx context.Context, uid types.UID, by plugin.Permit) {
	a := s.held[uid]
	if a == nil {
		return
	}
	for i, p := range a.holders {
		if p.Name() == by.Name() {
			a.holders = append(a.holders[:i], a.holders[i+1:]...)
			break
		}
	}
	if len(a.holders) == 0 {
		delete(s.held, uid)
		s.finish(ctx, a)
	}
}

// releaseLate rejects the pods that have been held back for too long.
func (s *Scheduler) releaseLate(ctx context.Context, now time.Time) {
	for uid, a := range s.held {
		if !a.until.After(now) {
			delete(s.held, uid)
			s.refuse(ctx, a, a.late, "rejected due to timeout after waiting at plugin "+a.late.Name())
		}
	}
}

// nextLate is when releaseLate has something to do; zero for never.
func (s *Scheduler) nextLate() time.Time {
	var at time.Time
	for _, a := range s.held {
		at = earlier(at, a.until)
	}
	return at
}

// dropHeld forgets an attempt whose pod is gone, or was bound by others, while it was held back.
func (s *Scheduler) dropHeld(uid types.UID) {
	if a := s.held[uid]; a != nil {
		delete(s.held, uid)
		a.unreserve()
	}
}

// finish does the slow rest of an attempt on a binder's goroutine. A pod with claims may wait there for its volumes, so it has a
// goroutine that others do not wait for.
func (s *Scheduler) finish(ctx context.Context, a *attempt) {
	crew := s.binders
	if a.pod().Claimed || a.pod().Devices {
		crew = s.waiters
	}
	crew.do(ctx, func() {
		err := a.preBind(ctx)
		if err == nil {
			err = s.bindBy(ctx, a.pod().Pod, a.node)
		}
		if err != nil && ctx.Err() == nil && !settled(err) {
			s.tellFailure(ctx, a.pod().Pod, err)
		}
		s.post(func() { s.finished(a, err) })
	})
}

func (a *attempt) preBind(ctx context.Context) error {
	for _, p := range a.profile.PreBinds {
		if err := p.PreBind(ctx, a.pod(), a.node); err != nil {
			return fmt.Errorf("running PreBind plugin %q: %w", p.Name(), err)
		}
	}
	return nil
}

// tellFailure lets people see what keeps a pod from the node that was chosen for it.
func (s *Scheduler) tellFailure(ctx context.Context, pod *corev1.Pod, err error) {
	s.cfg.Events.Event(pod, corev1.EventTypeWarning, "FailedScheduling", "Scheduling", err.Error())
	s.markUnschedulable(ctx, pod, corev1.PodReasonSchedulerError, err.Error(), plugin.Nomination{})
}

// finished settles an assumed placement: the informer confirms it, or it is taken back.
func (s *Scheduler) finished(a *attempt, err error) {
	if err != nil {
		s.giveUp(a, err)
		return
	}
	pod, now := a.pod(), time.Now()
	s.tally.ended(pod.Spec.SchedulerName, "scheduled", a.w.began, now)
	s.tally.bound(a.w, now)
	for _, r := range a.profile.Reserves {
		if b, ok := r.(plugin.PostBind); ok {
			b.PostBind(pod)
		}
	}
	s.cfg.Events.Event(pod.Pod, corev1.EventTypeNormal, "Scheduled", "Binding",
		"Successfully assigned "+pod.Namespace+"/"+pod.Name+" to "+a.node)
	for _, f := range unbuilt.ForActor(&pod.Spec, unbuilt.Scheduler) {
		s.cfg.Events.Event(pod.Pod, corev1.EventTypeWarning, unbuilt.Reason, "Binding", f.String())
	}
}

// giveUp takes back a placement that an error has ended; the pod is tried again after its backoff.
func (s *Scheduler) giveUp(a *attempt, err error) {
	pod := a.pod()
	s.tally.ended(pod.Spec.SchedulerName, "error", a.w.began, time.Now())
	s.cfg.Log.Info("binding failed", "pod", pod.Namespace+"/"+pod.Name, "node", a.node, "error", err)
	if s.takeBack(a) {
		s.queue.failed(a.w, time.Now())
	}
}

// refuse takes back a placement that a plugin does not permit; the pod waits for what helps.
func (s *Scheduler) refuse(ctx context.Context, a *attempt, by plugin.Rejecting, reason string) {
	if s.takeBack(a) {
		s.unschedulable(ctx, a.w, outcome{by: []plugin.Rejecting{by}, text: reason}, plugin.Nomination{})
	}
}

// takeBack unreserves and takes the pod off its node. It reports whether the pod is still waiting for a node.
func (s *Scheduler) takeBack(a *attempt) bool {
	a.unreserve()
	uid := a.pod().UID
	if at, ok := s.snapshot.placed[uid]; !ok || at.pod.Spec.NodeName != "" {
		return false // the pod is gone, or others have bound it
	}
	s.vacate(uid)
	return s.queue.byUID[uid] == a.w
}

func (a *attempt) unreserve() {
	for i := len(a.profile.Reserves) - 1; i >= 0; i-- {
		a.profile.Reserves[i].Unreserve(a.pod(), a.node)
	}
}
