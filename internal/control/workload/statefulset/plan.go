package statefulset

import (
	"cmp"
	"slices"
	"time"

	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// look is what one look at a set sees. Nothing of it is changed.
type look struct {
	set   *appsv1.StatefulSet
	rev   *revisions
	pods  []*corev1.Pod // the set's own
	claim func(name string) (*corev1.PersistentVolumeClaim, bool)
	now   time.Time
}

// verb is what a step does.
type verb int

const (
	create   verb = iota // make the pod and those of its claims that are missing
	remove               // delete the pod
	mend                 // give the pod its identity, its volumes and its claims' owners
	complete             // make the pod's missing claims, and give its claims their owners
	entrust              // give the pod's claims their owners
)

// step is one thing to do about one pod.
type step struct {
	verb verb
	pod  *corev1.Pod
}

// plan is what a look leads to: the steps, stage after stage; an error ends it after the stage.
type plan struct {
	stages []stage
	status appsv1.StatefulSetStatus // of the pods as they were seen
}

// stage is steps that are carried out together, or one after the other until one fails.
type stage struct {
	steps    []step
	together bool
	rollout  bool // deletes pods of old revisions
}

// planner divides the pods of a look by what they are to the set.
type planner struct {
	*look
	replicas  []*corev1.Pod // one for each ordinal, in their order; those that are not there yet have no phase, and an ordered set has but the first of them
	condemned []*corev1.Pod // beyond the set's size, the highest ordinal first
	ordered   bool          // one after the other, each when those before it are well
	unwell    *corev1.Pod   // the first of all that is not available
	plan      plan
}

// planSet decides what to do about a set: first make and mend its replicas, then delete pods beyond its size, then replace
// pods of old revisions. In an ordered set the first replica that has to be waited for ends the plan.
func planSet(l *look) (*plan, error) {
	p := &planner{look: l, ordered: l.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement}
	if l.set.DeletionTimestamp != nil {
		p.plan.status = l.status(l.pods)
		return &p.plan, nil
	}
	if err := p.divide(); err != nil {
		return nil, err
	}
	p.plan.status = l.status(slices.Concat(p.replicas, p.condemned))
	if !p.keepReplicas() {
		return &p.plan, nil
	}
	p.entrustCondemned()
	if !p.removeCondemned() {
		return &p.plan, nil
	}
	return &p.plan, p.roll()
}

// divide sorts the pods, adds those that are missing, and finds the first that is not well.
func (p *planner) divide() error {
	first := firstOrdinal(p.set)
	p.replicas = make([]*corev1.Pod, *p.set.Spec.Replicas)
	for _, pod := range p.pods {
		switch ordinal := ordinalOf(pod); {
		case inRange(p.set, ordinal):
			p.replicas[ordinal-first] = pod
		case ordinal >= 0:
			p.condemned = append(p.condemned, pod)
		}
	}
	if err := p.addMissing(first); err != nil {
		return err
	}
	slices.SortStableFunc(p.condemned, func(a, b *corev1.Pod) int { return cmp.Compare(ordinalOf(b), ordinalOf(a)) })
	for _, pod := range p.replicas {
		if p.unwell == nil && p.unavailable(pod) {
			p.unwell = pod
		}
	}
	for _, pod := range slices.Backward(p.condemned) {
		if p.unwell == nil && p.unavailable(pod) {
			p.unwell = pod
		}
	}
	return nil
}

// addMissing puts the pods that are missing into the replicas. An ordered set gets the first alone: nothing is done about those
// after it before it is there, and to make hundreds at every look would cost more than all else that a look does.
func (p *planner) addMissing(first int) error {
	have := p.replicas[:0]
	waits := false
	for i, pod := range p.replicas {
		if pod == nil && waits {
			continue
		}
		if pod == nil {
			missing, err := p.versioned(first + i)
			if err != nil {
				return err
			}
			pod, waits = missing, p.ordered
		}
		have = append(have, pod)
	}
	p.replicas = have
	return nil
}

// versioned is the missing pod of an ordinal, in the revision that it has at this point of a rollout.
func (p *planner) versioned(ordinal int) (*corev1.Pod, error) {
	u := p.set.Spec.UpdateStrategy
	kept := u.RollingUpdate != nil && ordinal < firstOrdinal(p.set)+int(*u.RollingUpdate.Partition) ||
		u.RollingUpdate == nil && u.Type == appsv1.RollingUpdateStatefulSetStrategyType && ordinal < firstOrdinal(p.set)+int(p.set.Status.CurrentReplicas)
	if !kept {
		return newPod(p.rev.updated, p.rev.update.Name, ordinal), nil
	}
	current, err := p.rev.currentSet(p.set)
	if err != nil {
		return nil, err
	}
	return newPod(current, p.rev.current.Name, ordinal), nil
}

func (l *look) available(pod *corev1.Pod) bool {
	ok, _ := loop.PodAvailable(pod, time.Duration(l.set.Spec.MinReadySeconds)*time.Second, l.now)
	return ok
}

func (l *look) unavailable(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || !l.available(pod)
}

// keepReplicas plans what the replicas need, and reports whether the plan goes on after them.
func (p *planner) keepReplicas() bool {
	var steps []step
	goesOn := true
	for _, pod := range p.replicas {
		s, waits := p.replica(pod)
		steps = append(steps, s...)
		if waits && p.ordered {
			goesOn = false
			break
		}
	}
	p.add(stage{steps: steps, together: !p.ordered})
	return goesOn
}

// replica decides about one replica, and whether an ordered set waits for it.
func (p *planner) replica(pod *corev1.Pod) (steps []step, waits bool) {
	switch {
	case loop.PodTerminal(pod):
		// Evicted pods end with the exit codes of their containers: one that succeeded is replaced like one that failed. Its
		// successor is made when the name is free.
		if pod.DeletionTimestamp == nil {
			steps = append(steps, step{remove, pod})
		}
		return steps, true
	case !created(pod):
		if !p.staleClaims(pod) {
			steps = append(steps, step{create, pod})
		}
		return steps, true
	case pod.Status.Phase == corev1.PodPending && !p.claimed(pod):
		steps = append(steps, step{complete, pod})
	}
	if p.ordered && (pod.DeletionTimestamp != nil || !runningAndReady(pod) || !p.available(pod)) {
		return steps, true
	}
	if !identified(p.set, pod) || !mounted(p.set, pod) || !p.entrusted(pod) && len(steps) == 0 {
		steps = append(steps, step{mend, pod})
	}
	return steps, false
}

// staleClaims reports whether a claim of a pod that is to be made belongs to an earlier pod of its name, with which it will go.
func (p *planner) staleClaims(pod *corev1.Pod) bool {
	if scaled, _ := deletes(p.set); !scaled {
		return false
	}
	return p.anyClaim(pod, func(c *corev1.PersistentVolumeClaim) bool { return staleOwner(c, pod, podKind) })
}

// claimed reports whether all of a pod's claims are there, to stay, and with their owners.
func (p *planner) claimed(pod *corev1.Pod) bool {
	ordinal := ordinalOf(pod)
	for i := range p.set.Spec.VolumeClaimTemplates {
		c, ok := p.claim(claimName(p.set, &p.set.Spec.VolumeClaimTemplates[i], ordinal))
		if !ok || c.DeletionTimestamp != nil || !owned(c, p.set, pod) || conflicting(c, p.set, pod) {
			return false
		}
	}
	return true
}

// entrusted reports whether those of a pod's claims that are there have their owners.
func (p *planner) entrusted(pod *corev1.Pod) bool {
	return !p.anyClaim(pod, func(c *corev1.PersistentVolumeClaim) bool { return !owned(c, p.set, pod) })
}

func (p *planner) anyClaim(pod *corev1.Pod, is func(*corev1.PersistentVolumeClaim) bool) bool {
	ordinal := ordinalOf(pod)
	for i := range p.set.Spec.VolumeClaimTemplates {
		if c, ok := p.claim(claimName(p.set, &p.set.Spec.VolumeClaimTemplates[i], ordinal)); ok && is(c) {
			return true
		}
	}
	return false
}

// entrustCondemned hands the claims of pods that are too many to them, before they go.
func (p *planner) entrustCondemned() {
	var steps []step
	for _, pod := range p.condemned {
		if !p.entrusted(pod) {
			steps = append(steps, step{entrust, pod})
		}
	}
	p.add(stage{steps: steps, together: !p.ordered})
}

// removeCondemned plans the end of pods that are too many, and reports whether the plan goes on after them: in an ordered set
// only when there are none.
func (p *planner) removeCondemned() bool {
	var steps []step
	for _, pod := range p.condemned {
		well := runningAndReady(pod) && p.available(pod)
		if pod.DeletionTimestamp == nil && (!p.ordered || well || pod == p.unwell) {
			steps = append(steps, step{remove, pod})
		}
		if p.ordered {
			break
		}
	}
	p.add(stage{steps: steps, together: !p.ordered})
	return !p.ordered || len(p.condemned) == 0
}

// add puts a stage with something to do into the plan.
func (p *planner) add(s stage) {
	if len(s.steps) > 0 {
		p.plan.stages = append(p.plan.stages, s)
	}
}
