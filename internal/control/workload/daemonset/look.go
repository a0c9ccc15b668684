package daemonset

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// look is what one look at a set sees: the nodes and the set's pods on them. Nothing of it is changed.
type look struct {
	ds    *appsv1.DaemonSet
	hash  string // of the current revision
	now   time.Time
	nodes []*corev1.Node           // by name
	fits  map[string]fit           // of the nodes, by name
	on    map[string][]*corev1.Pod // by node, those to look at first in front; those on nodes that are gone too
	next  time.Duration            // until the first of the pods becomes available that are ready and not yet; 0: none will
}

// newLook sorts what was read. A pod that has ended and is being deleted is nobody's concern any more.
func newLook(ds *appsv1.DaemonSet, hash string, nodes []*corev1.Node, pods []*corev1.Pod, now time.Time) *look {
	l := &look{ds: ds, hash: hash, now: now, nodes: slices.Clone(nodes), fits: make(map[string]fit, len(nodes)), on: make(map[string][]*corev1.Pod, len(nodes))}
	slices.SortFunc(l.nodes, func(a, b *corev1.Node) int { return strings.Compare(a.Name, b.Name) })
	judge := newJudge(ds)
	for _, n := range l.nodes {
		l.fits[n.Name] = judge.fit(n)
	}
	for _, p := range pods {
		node := targetOf(p)
		if node == "" || loop.PodTerminal(p) && p.DeletionTimestamp != nil {
			continue
		}
		l.on[node] = append(l.on[node], p)
		if _, left := loop.PodAvailable(p, l.minReady(), now); left > 0 && (l.next == 0 || left < l.next) {
			l.next = left
		}
	}
	for _, on := range l.on {
		slices.SortFunc(on, byAge)
	}
	return l
}

// byAge orders the pods of a node: those that are bound first, then the older ones.
func byAge(a, b *corev1.Pod) int {
	bound := func(p *corev1.Pod) int { return min(1, len(p.Spec.NodeName)) }
	return cmp.Or(cmp.Compare(bound(b), bound(a)), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
}

func (l *look) minReady() time.Duration {
	return time.Duration(l.ds.Spec.MinReadySeconds) * time.Second
}

func (l *look) available(p *corev1.Pod) bool {
	ok, _ := loop.PodAvailable(p, l.minReady(), l.now)
	return ok
}

// updated reports whether a pod is of the current template: by its revision's hash, or by the number that was counted before.
func (l *look) updated(p *corev1.Pod) bool {
	g := generationOf(l.ds)
	return l.hash != "" && p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == l.hash || g != "" && p.Labels[generationLabel] == g
}

// countStatus counts the nodes by what the set wants on them and what is there, the oldest pod standing for its node.
func (l *look) countStatus() appsv1.DaemonSetStatus {
	s := *l.ds.Status.DeepCopy()
	s.DesiredNumberScheduled, s.CurrentNumberScheduled, s.NumberMisscheduled = 0, 0, 0
	s.NumberReady, s.UpdatedNumberScheduled, s.NumberAvailable = 0, 0, 0
	s.ObservedGeneration = l.ds.Generation
	for _, n := range l.nodes {
		pods := l.on[n.Name]
		if !l.fits[n.Name].runs {
			s.NumberMisscheduled += int32(min(1, len(pods)))
			continue
		}
		s.DesiredNumberScheduled++
		if len(pods) == 0 {
			continue
		}
		s.CurrentNumberScheduled++
		if loop.PodReady(pods[0]) {
			s.NumberReady++
			if l.available(pods[0]) {
				s.NumberAvailable++
			}
		}
		if l.updated(pods[0]) {
			s.UpdatedNumberScheduled++
		}
	}
	s.NumberUnavailable = s.DesiredNumberScheduled - s.NumberAvailable
	return s
}
