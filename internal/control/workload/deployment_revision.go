package workload

import (
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"

	"sampan.dev/internal/control/workload/podcontrol"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Annotations and labels on Deployments and their sets; kubectl and the e2e suite read them.
const (
	revision        = "deployment.kubernetes.io/revision"
	revisionHistory = "deployment.kubernetes.io/revision-history"
	desiredReplicas = "deployment.kubernetes.io/desired-replicas"
	maxReplicas     = "deployment.kubernetes.io/max-replicas"

	hashLabel = appsv1.DefaultDeploymentUniqueLabelKey

	historyChars = 2000 // room for revisionHistory
	unlimited    = math.MaxInt32
)

// syncRevision gives the new set, if there is one, the newest revision and the deployment's annotations, and the deployment
// the revision.
func (p *planner) syncRevision() {
	if p.newRS == nil {
		return
	}
	next := maxRevision(p.old) + 1
	out := p.newRS.DeepCopy()
	changed := annotateRevision(p.d, out, next)
	if out.Spec.MinReadySeconds != p.d.Spec.MinReadySeconds {
		out.Spec.MinReadySeconds = p.d.Spec.MinReadySeconds
		changed = true
	}
	if changed {
		p.replace(p.newRS, out)
	}
	p.setRevision(out.Annotations[revision])
	if hasProgressDeadline(p.d) && conditionOf(&p.d.Status, appsv1.DeploymentProgressing) == nil {
		p.progress(corev1.ConditionTrue, reasonFound, fmt.Sprintf("Found new replica set %q", p.newRS.Name))
	}
}

// ensureNewSet plans the set of the current template, at the size it may have now, if there is none.
func (p *planner) ensureNewSet() {
	if p.newRS != nil {
		return
	}
	template := *p.d.Spec.Template.DeepCopy()
	hash := podcontrol.TemplateHash(&template, p.d.Status.CollisionCount)
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	template.Labels[hashLabel] = hash
	selector := p.d.Spec.Selector.DeepCopy()
	if selector.MatchLabels == nil {
		selector.MatchLabels = map[string]string{}
	}
	selector.MatchLabels[hashLabel] = hash
	size := newSize(p.d, p.old, 0)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       p.d.Namespace,
			Name:            setName(p.d.Name, hash),
			Labels:          maps.Clone(template.Labels),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(p.d, deploymentKind)},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &size, MinReadySeconds: p.d.Spec.MinReadySeconds, Selector: selector, Template: template},
	}
	annotateRevision(p.d, rs, maxRevision(p.old)+1)
	surge, _ := fenceposts(p.d)
	annotateSize(rs, *p.d.Spec.Replicas, *p.d.Spec.Replicas+surge)
	p.newRS, p.plan.create = rs, rs
	p.setRevision(rs.Annotations[revision])
	if hasProgressDeadline(p.d) {
		p.progress(corev1.ConditionTrue, reasonCreated, fmt.Sprintf("Created new replica set %q", rs.Name))
	}
}

func (p *planner) setRevision(r string) {
	if p.d.Annotations == nil {
		p.d.Annotations = map[string]string{}
	}
	p.d.Annotations[revision] = r
}

func setName(deployment, hash string) string {
	if most := validation.DNS1123SubdomainMaxLength - 1 - len(hash); len(deployment) > most {
		deployment = deployment[:most]
	}
	return deployment + "-" + hash
}

// sameTemplate compares templates but for the hash label.
func sameTemplate(a, b *corev1.PodTemplateSpec) bool {
	return apiequality.Semantic.DeepEqual(withoutHash(a), withoutHash(b))
}

func withoutHash(t *corev1.PodTemplateSpec) *corev1.PodTemplateSpec {
	if _, ok := t.Labels[hashLabel]; !ok {
		return t
	}
	out := *t
	out.Labels = maps.Clone(t.Labels)
	delete(out.Labels, hashLabel)
	return &out
}

func revisionOf(rs *appsv1.ReplicaSet) int64 {
	n, err := strconv.ParseInt(rs.Annotations[revision], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func maxRevision(sets []*appsv1.ReplicaSet) int64 {
	most := int64(0)
	for _, rs := range sets {
		most = max(most, revisionOf(rs))
	}
	return most
}

// lastRevision is the one before the newest, or 0.
func lastRevision(sets []*appsv1.ReplicaSet) int64 {
	first, second := int64(0), int64(0)
	for _, rs := range sets {
		if r := revisionOf(rs); r >= first {
			first, second = r, first
		} else if r > second {
			second = r
		}
	}
	return second
}

// annotateRevision copies the deployment's annotations to rs and raises its revision to next, keeping the one it had in its
// history. It reports whether rs changed.
func annotateRevision(d *appsv1.Deployment, rs *appsv1.ReplicaSet, next int64) bool {
	changed := false
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	for k, v := range d.Annotations {
		if have, ok := rs.Annotations[k]; !ownAnnotation(k) && (!ok || have != v) {
			rs.Annotations[k] = v
			changed = true
		}
	}
	was, had := rs.Annotations[revision]
	old, err := strconv.ParseInt(was, 10, 64)
	if err != nil && was != "" {
		return false // somebody else's; leave it
	}
	if old >= next {
		return changed
	}
	rs.Annotations[revision] = strconv.FormatInt(next, 10)
	if had {
		rs.Annotations[revisionHistory] = lengthen(rs.Annotations[revisionHistory], was)
	}
	return true
}

// lengthen appends a revision to a history and drops the oldest ones beyond its room.
func lengthen(history, revision string) string {
	if history == "" {
		return revision
	}
	parts := append(strings.Split(history, ","), revision)
	for len(parts) > 1 && len(strings.Join(parts, ",")) > historyChars {
		parts = parts[1:]
	}
	return strings.Join(parts, ",")
}

// ownAnnotation reports whether an annotation of a Deployment is about itself and not about its sets.
func ownAnnotation(key string) bool {
	switch key {
	case corev1.LastAppliedConfigAnnotation, revision, revisionHistory, desiredReplicas, maxReplicas, appsv1.DeprecatedRollbackTo:
		return true
	}
	return false
}

// takeAnnotations gives d the annotations that it had when rs was new.
func takeAnnotations(d *appsv1.Deployment, rs *appsv1.ReplicaSet) {
	maps.DeleteFunc(d.Annotations, func(k, _ string) bool { return !ownAnnotation(k) })
	for k, v := range rs.Annotations {
		if !ownAnnotation(k) {
			if d.Annotations == nil {
				d.Annotations = map[string]string{}
			}
			d.Annotations[k] = v
		}
	}
}

// annotateSize notes the deployment's size on rs, and reports whether that changed it.
func annotateSize(rs *appsv1.ReplicaSet, desired, most int32) bool {
	if rs.Annotations == nil {
		rs.Annotations = map[string]string{}
	}
	changed := false
	for k, n := range map[string]int32{desiredReplicas: desired, maxReplicas: most} {
		if v := strconv.Itoa(int(n)); rs.Annotations[k] != v {
			rs.Annotations[k] = v
			changed = true
		}
	}
	return changed
}

func annotatedCount(rs *appsv1.ReplicaSet, key string) (int32, bool) {
	n, err := strconv.ParseUint(rs.Annotations[key], 10, 31)
	return int32(n), err == nil
}

func rollbackTo(d *appsv1.Deployment) *int64 {
	n, err := strconv.ParseInt(d.Annotations[appsv1.DeprecatedRollbackTo], 10, 64)
	if err != nil {
		return nil
	}
	return &n
}
