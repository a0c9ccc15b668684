package workload

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
)

// deploymentPlan is what one look at a Deployment leads to, in the order in which it is carried out.
type deploymentPlan struct {
	rollback      *appsv1.Deployment // the whole plan, when set
	rollbackEvent struct{ kind, reason, message string }

	create  *appsv1.ReplicaSet
	updates []setUpdate
	remove  []*appsv1.ReplicaSet
	status  *appsv1.Deployment // with new status and revision; nil when nothing changed
	requeue time.Duration      // until the progress deadline is to be looked at
}

// setUpdate is a ReplicaSet with new annotations or size, and the size that it has now.
type setUpdate struct {
	set  *appsv1.ReplicaSet
	from int32
}

// message of the ScalingReplicaSet event, or "".
func (u setUpdate) message() string {
	direction := "up"
	switch to := *u.set.Spec.Replicas; {
	case to == u.from:
		return ""
	case to < u.from:
		direction = "down"
	}
	return fmt.Sprintf("Scaled %s replica set %s from %d to %d", direction, u.set.Name, u.from, *u.set.Spec.Replicas)
}

// planner holds the state of one planning: the deployment, whose status and annotations it changes, and the sets as they
// will be when the plan so far has been carried out.
type planner struct {
	d     *appsv1.Deployment
	newRS *appsv1.ReplicaSet   // of the current template; nil if there is none
	old   []*appsv1.ReplicaSet // all others
	now   time.Time
	plan  deploymentPlan
}

// planDeployment decides what to do about d, whose sets these are. podsLeft tells whether a set has pods that have not
// ended. Neither d nor the sets are changed.
func planDeployment(d *appsv1.Deployment, sets []*appsv1.ReplicaSet, podsLeft func(types.UID) bool, now time.Time) (*deploymentPlan, error) {
	p := &planner{d: d.DeepCopy(), now: now}
	p.sort(sets)
	err := p.run(podsLeft)
	if err != nil {
		return nil, err
	}
	if p.plan.rollback == nil && (!apiequality.Semantic.DeepEqual(d.Status, p.d.Status) ||
		!apiequality.Semantic.DeepEqual(d.Annotations, p.d.Annotations)) {
		p.plan.status = p.d
	}
	return &p.plan, nil
}

func (p *planner) run(podsLeft func(types.UID) bool) error {
	if p.d.DeletionTimestamp != nil {
		p.syncRevision()
		p.d.Status = p.statusNow()
		return nil
	}
	p.pauseConditions()
	if p.d.Spec.Paused {
		p.syncRevision()
		p.scaleOnly()
		return nil
	}
	if revision := rollbackTo(p.d); revision != nil {
		p.rollBack(*revision)
		return nil
	}
	p.syncRevision()
	if p.resized() {
		p.scaleOnly()
		return nil
	}
	switch p.d.Spec.Strategy.Type {
	case appsv1.RecreateDeploymentStrategyType:
		p.recreate(podsLeft)
	case appsv1.RollingUpdateDeploymentStrategyType:
		p.roll()
	default:
		return fmt.Errorf("unexpected deployment strategy type: %s", p.d.Spec.Strategy.Type)
	}
	return nil
}

// sort finds the set of the current template among sets: of several, the oldest.
func (p *planner) sort(sets []*appsv1.ReplicaSet) {
	sets = slices.Clone(sets)
	slices.SortFunc(sets, byAge)
	for _, rs := range sets {
		if p.newRS == nil && sameTemplate(&rs.Spec.Template, &p.d.Spec.Template) {
			p.newRS = rs
		} else {
			p.old = append(p.old, rs)
		}
	}
}

func (p *planner) all() []*appsv1.ReplicaSet {
	if p.newRS == nil {
		return p.old
	}
	return append(slices.Clone(p.old), p.newRS)
}

// scaleOnly brings the sets to the deployment's size without rolling.
func (p *planner) scaleOnly() {
	p.scaleProportionally()
	if p.d.Spec.Paused && rollbackTo(p.d) == nil {
		p.cleanUp()
	}
	p.d.Status = p.statusNow()
}

// resized reports whether the deployment's size has changed since its sets were scaled.
func (p *planner) resized() bool {
	for _, rs := range active(p.all()) {
		if desired, ok := annotatedCount(rs, desiredReplicas); ok && desired != *p.d.Spec.Replicas {
			return true
		}
	}
	return false
}

func (p *planner) roll() {
	p.ensureNewSet()
	if !p.growNew() && !p.shrinkOld() && complete(p.d, &p.d.Status) {
		p.cleanUp()
	}
	p.rolloutStatus()
}

func (p *planner) recreate(podsLeft func(types.UID) bool) {
	scaled := false
	for _, rs := range active(p.old) {
		scaled = p.scale(rs, 0, false) || scaled
	}
	if scaled || p.oldPodsLeft(podsLeft) {
		p.rolloutStatus()
		return
	}
	p.ensureNewSet()
	p.scale(p.newRS, *p.d.Spec.Replicas, false)
	if complete(p.d, &p.d.Status) {
		p.cleanUp()
	}
	p.rolloutStatus()
}

func (p *planner) oldPodsLeft(podsLeft func(types.UID) bool) bool {
	for _, rs := range p.old {
		if rs.Status.Replicas > 0 || podsLeft(rs.UID) {
			return true
		}
	}
	return false
}

// cleanUp removes the oldest empty sets beyond the history limit.
func (p *planner) cleanUp() {
	limit := p.d.Spec.RevisionHistoryLimit
	if limit == nil || *limit == unlimited {
		return
	}
	var sets []*appsv1.ReplicaSet
	for _, rs := range p.old {
		if rs.DeletionTimestamp == nil {
			sets = append(sets, rs)
		}
	}
	excess := len(sets) - int(*limit)
	if excess <= 0 {
		return
	}
	slices.SortFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		return cmp.Or(cmp.Compare(revisionOf(a), revisionOf(b)), byAge(a, b))
	})
	for _, rs := range sets[:excess] {
		if rs.Status.Replicas == 0 && *rs.Spec.Replicas == 0 && rs.Generation <= rs.Status.ObservedGeneration {
			p.plan.remove = append(p.plan.remove, rs)
		}
	}
}

func (p *planner) rollBack(to int64) {
	p.syncRevision()
	event := &p.plan.rollbackEvent
	event.kind, event.reason = corev1.EventTypeWarning, "DeploymentRollbackRevisionNotFound"
	out := p.d.DeepCopy()
	delete(out.Annotations, appsv1.DeprecatedRollbackTo)
	p.plan.rollback = out
	if to == 0 {
		if to = lastRevision(p.all()); to == 0 {
			event.message = "Unable to find last revision."
			return
		}
	}
	for _, rs := range p.all() {
		if revisionOf(rs) != to {
			continue
		}
		if sameTemplate(&rs.Spec.Template, &p.d.Spec.Template) {
			event.reason = "DeploymentRollbackTemplateUnchanged"
			event.message = fmt.Sprintf("The rollback revision contains the same template as current deployment %q", p.d.Name)
			return
		}
		out.Spec.Template = *rs.Spec.Template.DeepCopy()
		delete(out.Spec.Template.Labels, hashLabel)
		takeAnnotations(out, rs)
		event.kind, event.reason = corev1.EventTypeNormal, "DeploymentRollback"
		event.message = fmt.Sprintf("Rolled back deployment %q to revision %d", p.d.Name, to)
		return
	}
	event.message = "Unable to find the revision to rollback to."
}

func active(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var out []*appsv1.ReplicaSet
	for _, rs := range sets {
		if *rs.Spec.Replicas > 0 {
			out = append(out, rs)
		}
	}
	return out
}

func byAge(a, b *appsv1.ReplicaSet) int {
	return cmp.Or(a.CreationTimestamp.Time.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}
