package workload

import (
	"cmp"
	"math"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// fenceposts returns maxSurge and maxUnavailable of a deployment in pods: surge rounded up, unavailable rounded down, and not
// both zero. Both are zero for other strategies than RollingUpdate.
func fenceposts(d *appsv1.Deployment) (surge, unavailable int32) {
	if d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		return 0, 0
	}
	var maxSurge, maxUnavailable *intstr.IntOrString
	if r := d.Spec.Strategy.RollingUpdate; r != nil {
		maxSurge, maxUnavailable = r.MaxSurge, r.MaxUnavailable
	}
	surge = scaled(maxSurge, *d.Spec.Replicas, true)
	unavailable = scaled(maxUnavailable, *d.Spec.Replicas, false)
	if surge == 0 && unavailable == 0 {
		// Validation refuses two zeros, but small percentages come to the same; then a rollout would never move.
		unavailable = 1
	}
	return surge, min(unavailable, *d.Spec.Replicas)
}

func scaled(v *intstr.IntOrString, of int32, up bool) int32 {
	if v == nil {
		return 0
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(v, int(of), up)
	if err != nil {
		return 0 // validation lets none through
	}
	return int32(n)
}

// scale plans rs at size to, with the deployment's size in its annotations (those alone too, if force), and reports whether
// the size changes.
func (p *planner) scale(rs *appsv1.ReplicaSet, to int32, force bool) bool {
	from := *rs.Spec.Replicas
	if from == to && !force {
		return false
	}
	surge, _ := fenceposts(p.d)
	out := rs.DeepCopy()
	*out.Spec.Replicas = to
	if !annotateSize(out, *p.d.Spec.Replicas, *p.d.Spec.Replicas+surge) && from == to {
		return false
	}
	p.replace(rs, out)
	return from != to
}

// replace plans out in place of rs. Several changes to a set become one write; the set to be created is changed as it is.
func (p *planner) replace(rs, out *appsv1.ReplicaSet) {
	if p.newRS == rs {
		p.newRS = out
	}
	for i := range p.old {
		if p.old[i] == rs {
			p.old[i] = out
		}
	}
	if p.plan.create == rs {
		p.plan.create = out
		return
	}
	for i := range p.plan.updates {
		if u := &p.plan.updates[i]; u.set == rs {
			u.set = out
			return
		}
	}
	p.plan.updates = append(p.plan.updates, setUpdate{set: out, from: *rs.Spec.Replicas})
}

// newSize is the size that the new set may have now: as much as maxSurge leaves room for.
func newSize(d *appsv1.Deployment, all []*appsv1.ReplicaSet, have int32) int32 {
	want := *d.Spec.Replicas
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return want
	}
	room := want - total(all)
	if r := d.Spec.Strategy.RollingUpdate; r != nil {
		room += scaled(r.MaxSurge, want, true)
	}
	if room <= 0 {
		return have
	}
	return have + min(room, want-have)
}

func (p *planner) growNew() bool {
	have, want := *p.newRS.Spec.Replicas, *p.d.Spec.Replicas
	switch {
	case have == want:
		return false
	case have > want:
		return p.scale(p.newRS, want, false)
	}
	return p.scale(p.newRS, newSize(p.d, p.all(), have), false)
}

// shrinkOld takes from the old sets what maxUnavailable allows: first pods that do not serve anyway, oldest set first.
func (p *planner) shrinkOld() bool {
	old := active(p.old)
	if len(old) == 0 {
		return false
	}
	_, unavailable := fenceposts(p.d)
	minAvailable := *p.d.Spec.Replicas - unavailable
	newUnavailable := *p.newRS.Spec.Replicas - p.newRS.Status.AvailableReplicas
	room := total(p.all()) - minAvailable - newUnavailable
	if room <= 0 {
		return false
	}
	done := int32(0)
	for _, rs := range old {
		if unhealthy := *rs.Spec.Replicas - rs.Status.AvailableReplicas; unhealthy > 0 && done < room {
			n := min(room-done, unhealthy)
			p.scale(rs, *rs.Spec.Replicas-n, false)
			done += n
		}
	}
	available := p.newRS.Status.AvailableReplicas
	for _, rs := range active(p.old) {
		available += rs.Status.AvailableReplicas
	}
	for _, rs := range active(p.old) {
		if available <= minAvailable {
			break
		}
		n := min(*rs.Spec.Replicas, available-minAvailable)
		p.scale(rs, *rs.Spec.Replicas-n, false)
		available -= n
		done += n
	}
	return done > 0
}

// scaleProportionally spreads a change of the deployment's size over its sets, in proportion to theirs, so that a rollout
// that is under way stays as risky as it was.
func (p *planner) scaleProportionally() {
	want := *p.d.Spec.Replicas
	if rs := p.activeOrLatest(); rs != nil {
		p.scale(rs, want, false)
		return
	}
	if p.saturated() {
		for _, rs := range active(p.old) {
			p.scale(rs, 0, false)
		}
		return
	}
	if p.d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		return
	}
	sets := active(p.all())
	surge, _ := fenceposts(p.d)
	allowed := int32(0)
	if want > 0 {
		allowed = want + surge
	}
	add := allowed - total(sets)
	slices.SortStableFunc(sets, func(a, b *appsv1.ReplicaSet) int {
		age := byAge(a, b) // shrink the oldest of equals first, grow the newest
		if add > 0 {
			age = -age
		}
		return cmp.Or(cmp.Compare(*b.Spec.Replicas, *a.Spec.Replicas), age)
	})
	sizes := make([]int32, len(sets))
	added := int32(0)
	for i, rs := range sets {
		share := proportion(p.d, rs, add, added, want+surge)
		sizes[i] = *rs.Spec.Replicas + share
		added += share
	}
	for i, rs := range sets {
		if i == 0 && add != 0 {
			sizes[i] = max(0, sizes[i]+add-added) // the biggest takes what rounding left
		}
		p.scale(rs, sizes[i], true)
	}
}

// activeOrLatest returns the only set with replicas, or the latest when none has any, or nil when several have.
func (p *planner) activeOrLatest() *appsv1.ReplicaSet {
	switch sets := active(p.all()); {
	case len(sets) == 1:
		return sets[0]
	case len(sets) > 1:
		return nil
	case p.newRS != nil:
		return p.newRS
	case len(p.old) > 0:
		return slices.MaxFunc(p.old, byAge)
	}
	return nil
}

// saturated reports whether the new set alone carries the deployment.
func (p *planner) saturated() bool {
	if p.newRS == nil {
		return false
	}
	want := *p.d.Spec.Replicas
	desired, ok := annotatedCount(p.newRS, desiredReplicas)
	return ok && desired == want && *p.newRS.Spec.Replicas == want && p.newRS.Status.AvailableReplicas == want
}

// proportion is the part of add that rs takes when added has been given out already. most is the size that all sets together
// may have.
func proportion(d *appsv1.Deployment, rs *appsv1.ReplicaSet, add, added, most int32) int32 {
	have := *rs.Spec.Replicas
	if have == 0 || add == 0 || add == added {
		return 0
	}
	share := -have
	if *d.Spec.Replicas > 0 {
		before, ok := annotatedCount(rs, maxReplicas)
		if !ok || before == 0 {
			before = d.Status.Replicas
		}
		share = 0
		if before != 0 {
			share = int32(math.Round(float64(have)*float64(most)/float64(before))) - have
		}
	}
	if add > 0 {
		return min(share, add-added)
	}
	return max(share, add-added)
}

func total(sets []*appsv1.ReplicaSet) int32 {
	n := int32(0)
	for _, rs := range sets {
		n += *rs.Spec.Replicas
	}
	return n
}
