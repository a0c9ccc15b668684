package scheduler

import (
	"context"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

// What the informers tell, brought into the snapshot and the queue.

// node takes a new version of a node, nil when it is gone.
func (s *Scheduler) node(name string, obj *corev1.Node) {
	before, after := s.snapshot.setNode(name, obj)
	if obj == nil {
		if before != nil && before.Known() && s.events&plugin.NodeLeft != 0 {
			s.queue.changed(plugin.Change{Event: plugin.NodeLeft, Node: after, Old: before}, time.Now())
		}
		return
	}
	if before == nil || !before.Known() {
		s.queue.changed(plugin.Change{Event: plugin.NodeAdded, Node: after}, time.Now())
	} else if e := nodeEvents(before.Node, obj); e != 0 {
		s.queue.changed(plugin.Change{Event: e, Node: after, Old: before}, time.Now())
	}
}

// pod takes a new version of a pod.
func (s *Scheduler) pod(ctx context.Context, obj *corev1.Pod) {
	switch {
	case obj.Status.Phase == corev1.PodSucceeded || obj.Status.Phase == corev1.PodFailed:
		s.gone(obj.UID)
	case obj.Spec.NodeName != "":
		s.bound(obj)
	case s.rankings[obj.Spec.SchedulerName] == nil:
	case obj.DeletionTimestamp != nil:
		s.gone(obj.UID)
	default:
		if at, assumed := s.snapshot.placed[obj.UID]; assumed {
			// Its binding is being written; only the object is new.
			s.snapshot.addPod(at.node, at.pod.Renewed(obj))
			return
		}
		p := s.rankings[obj.Spec.SchedulerName].profile.newPod(obj)
		if node := obj.Status.NominatedNodeName; node != "" && s.queue.byUID[obj.UID] == nil {
			s.snapshot.nominated.set(p, node) // room was made for it before this scheduler started
		}
		if s.queue.awaits(obj) {
			s.followGroups()
		}
		s.queue.set(p, time.Now()) // the condition of one that is gated has been there since its creation
	}
}

// bound takes a pod that has a node, be it by us or by others.
func (s *Scheduler) bound(obj *corev1.Pod) {
	s.forget(obj.UID)
	old, was := s.snapshot.placed[obj.UID]
	var p *plugin.Pod
	if was {
		p = old.pod.Renewed(obj)
	} else {
		p = plugin.NewPod(obj)
	}
	s.snapshot.addPod(obj.Spec.NodeName, p)
	if !was {
		s.notify(plugin.PodPlaced, obj.Spec.NodeName, p)
		return
	}
	if shrank(&old.pod.Requests, &p.Requests) {
		s.notify(plugin.PodShrank, obj.Spec.NodeName, old.pod)
	}
	if s.events&plugin.PodLabels != 0 && !maps.Equal(old.pod.Labels, p.Labels) {
		if n := s.snapshot.byName[obj.Spec.NodeName]; n.Known() {
			s.queue.changed(plugin.Change{Event: plugin.PodLabels, Node: n, Pod: p, Was: old.pod}, time.Now())
		}
	}
}

// gone takes the end of a pod.
func (s *Scheduler) gone(uid types.UID) {
	s.storage.wake() // it may be one that waits for its volumes
	s.forget(uid)
	s.vacate(uid)
}

// vacate takes a pod off the node that it is on, if it is on any.
func (s *Scheduler) vacate(uid types.UID) {
	if at, was := s.snapshot.removePod(uid); was {
		s.notify(plugin.PodLeft, at.node, at.pod)
	}
}

// notify tells the queue of a pod's event on a node.
func (s *Scheduler) notify(e plugin.Event, node string, pod *plugin.Pod) {
	if s.events&e == 0 {
		return
	}
	now := time.Now()
	if n := s.snapshot.byName[node]; n != nil && n.Known() {
		s.queue.changed(plugin.Change{Event: e, Node: n, Pod: pod}, now)
	}
	if e == plugin.PodLeft {
		for _, waits := range s.snapshot.nominated.byNode[node] {
			if s.snapshot.nominated.left(waits.UID, pod.UID) { // an attempt for each victim would come to be held back
				s.queue.retry(waits.UID, now)
			}
		}
	}
}

// forget drops what is known of a pod as one that waits for a node.
func (s *Scheduler) forget(uid types.UID) {
	s.dropHeld(uid)
	w := s.queue.remove(uid)
	if w == nil {
		return // nothing is noted of pods that are not waiting
	}
	s.endNomination(w.pod, "")
}

// nodeEvents returns what has changed of a node that a filter looks at; a heartbeat changes nothing.
func nodeEvents(old, obj *corev1.Node) plugin.Event {
	var e plugin.Event
	if old.Spec.Unschedulable != obj.Spec.Unschedulable {
		e |= plugin.NodeCordon
	}
	if !maps.Equal(old.Labels, obj.Labels) {
		e |= plugin.NodeLabel
	}
	if !slices.EqualFunc(old.Spec.Taints, obj.Spec.Taints, func(a, b corev1.Taint) bool {
		return a.Key == b.Key && a.Value == b.Value && a.Effect == b.Effect
	}) {
		e |= plugin.NodeTaint
	}
	if !equality.Semantic.DeepEqual(old.Status.Allocatable, obj.Status.Allocatable) {
		e |= plugin.NodeAllocatable
	}
	if !slices.Equal(old.Status.DeclaredFeatures, obj.Status.DeclaredFeatures) {
		e |= plugin.NodeFeatures
	}
	return e
}

// shrank reports whether a pod now needs less of anything.
func shrank(old, now *plugin.Resources) bool {
	return now.MilliCPU < old.MilliCPU || now.Memory < old.Memory || now.Ephemeral < old.Ephemeral
}
