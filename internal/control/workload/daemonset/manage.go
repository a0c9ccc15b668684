package daemonset

import (
	"fmt"
	"slices"
	"time"

	"sampan.dev/internal/control/loop"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// plan is what a look leads to.
type plan struct {
	create []string // the nodes to make a pod for
	remove []*corev1.Pod
	news   []news
	again  time.Duration // until a failed pod may be deleted; 0: there is none
}

// news is an event about the set.
type news struct{ kind, reason, message string }

func (p *plan) empty() bool { return len(p.create) == 0 && len(p.remove) == 0 }

func (p *plan) wait(d time.Duration) {
	if p.again == 0 || d < p.again {
		p.again = d
	}
}

// manage decides which nodes get a pod and which pods go, but for those that a rollout replaces.
func (l *look) manage(failures *backoff) *plan {
	p := &plan{}
	for _, n := range l.nodes {
		f, pods := l.fits[n.Name], l.on[n.Name]
		switch {
		case f.runs && len(pods) == 0:
			p.create = append(p.create, n.Name)
		case f.stays:
			l.prune(p, n.Name, f, l.living(p, failures, n.Name, pods))
		default:
			for _, pod := range pods {
				if pod.DeletionTimestamp == nil {
					p.remove = append(p.remove, pod)
				}
			}
		}
	}
	// Pods that wait for a node that is gone are never bound, and no one else deletes them.
	var lost []*corev1.Pod
	for node, pods := range l.on {
		if _, there := l.fits[node]; there {
			continue
		}
		for _, pod := range pods {
			if pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil {
				lost = append(lost, pod)
			}
		}
	}
	slices.SortFunc(lost, byAge)
	p.remove = append(p.remove, lost...)
	return p
}

// living are the pods of a node that have not ended, in their order. Those that have are deleted, after failures not at once.
func (l *look) living(p *plan, failures *backoff, node string, pods []*corev1.Pod) []*corev1.Pod {
	var out []*corev1.Pod
	for _, pod := range pods {
		switch {
		case pod.DeletionTimestamp != nil:
		case pod.Status.Phase == corev1.PodFailed:
			place := fmt.Sprintf("%s/%d/%s", l.ds.UID, l.ds.Status.ObservedGeneration, node)
			if d := failures.delay(place, l.now); d > 0 {
				p.wait(d)
				continue
			}
			failures.failed(place, l.now)
			p.news = append(p.news, news{corev1.EventTypeWarning, "FailedDaemonPod",
				fmt.Sprintf("Found failed daemon pod %s/%s on node %s, will try to kill it", pod.Namespace, pod.Name, node)})
			p.remove = append(p.remove, pod)
		case pod.Status.Phase == corev1.PodSucceeded:
			p.news = append(p.news, news{corev1.EventTypeNormal, "SucceededDaemonPod",
				fmt.Sprintf("Found succeeded daemon pod %s/%s on node %s, will try to delete it", pod.Namespace, pod.Name, node)})
			p.remove = append(p.remove, pod)
		default:
			out = append(out, pod)
		}
	}
	return out
}

// prune deletes the pods of a node that are too many: all but the oldest, or, where pods may surge, all but the oldest of each of
// the new and the old, of which the old one goes when it is not ready or the new one is available.
func (l *look) prune(p *plan, node string, f fit, living []*corev1.Pod) {
	if !surges(l.ds) {
		if len(living) > 1 {
			p.remove = append(p.remove, living[1:]...)
		}
		return
	}
	if len(living) == 0 && f.runs {
		p.create = append(p.create, node)
	}
	if len(living) <= 1 {
		return
	}
	var current, former *corev1.Pod
	for _, pod := range living {
		switch isNew := pod.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] == l.hash; {
		case isNew && current == nil:
			current = pod
		case !isNew && former == nil:
			former = pod
		default:
			p.remove = append(p.remove, pod)
		}
	}
	if current != nil && former != nil && (!loop.PodReady(former) || l.available(current)) {
		p.remove = append(p.remove, former)
	}
}
