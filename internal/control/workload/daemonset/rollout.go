package daemonset

import (
	"fmt"
	"maps"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// surges reports whether a rollout makes the new pod of a node before the old one goes.
func surges(ds *appsv1.DaemonSet) bool {
	n, err := surge(ds, 1)
	return err == nil && n > 0
}

func surge(ds *appsv1.DaemonSet, nodes int) (int, error) {
	r := ds.Spec.UpdateStrategy.RollingUpdate
	if ds.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || r == nil || r.MaxSurge == nil {
		return 0, nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(r.MaxSurge, nodes, true)
	if err != nil {
		err = fmt.Errorf("invalid value for MaxSurge: %w", err)
	}
	return n, err
}

func unavailable(ds *appsv1.DaemonSet, nodes int) (int, error) {
	r := ds.Spec.UpdateStrategy.RollingUpdate
	if ds.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType || r == nil {
		return 0, nil
	}
	n, err := intstr.GetScaledValueFromIntOrPercent(r.MaxUnavailable, nodes, true)
	if err != nil {
		err = fmt.Errorf("invalid value for MaxUnavailable: %w", err)
	}
	return n, err
}

// roll plans the replacement of old pods on nodes where nothing else is to be done, within what the strategy allows.
func (l *look) roll() (*plan, error) {
	if l.ds.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		return &plan{}, nil
	}
	wanted := 0
	places := make(map[string]bool, len(l.on)) // nodes with pods, and those that want one
	for node := range l.on {
		places[node] = true
	}
	for _, n := range l.nodes {
		if l.fits[n.Name].runs {
			wanted++
			places[n.Name] = true
		}
	}
	most, err := unavailable(l.ds, wanted)
	if err != nil {
		return nil, err
	}
	extra, err := surge(l.ds, wanted)
	if err != nil {
		return nil, err
	}
	if wanted > 0 && most == 0 && extra == 0 {
		most = 1 // an impossible strategy is carried out like the default
	}
	names := slices.Sorted(maps.Keys(places))
	if extra == 0 {
		return l.replace(names, most), nil
	}
	return l.surge(names, extra, wanted), nil
}

// pair finds the new and the old pod of a node that are not being deleted. It fails where there are several of one: manage
// prunes those first.
func (l *look) pair(node string) (current, former *corev1.Pod, ok bool) {
	for _, p := range l.on[node] {
		at := &former
		if l.updated(p) {
			at = &current
		}
		switch {
		case p.DeletionTimestamp != nil:
		case *at != nil:
			return nil, nil, false
		default:
			*at = p
		}
	}
	return current, former, true
}

// replace deletes old pods, whose successors manage makes: those that are unavailable, and as many of the others as leave no
// more than most nodes without an available pod.
func (l *look) replace(nodes []string, most int) *plan {
	p := &plan{}
	without := 0 // nodes without an available pod
	var candidates []*corev1.Pod
	for _, node := range nodes {
		current, former, ok := l.pair(node)
		switch {
		case !ok, (current == nil) == (former == nil):
			without++
		case current != nil:
			if !l.available(current) {
				without++
			}
		case !l.available(former):
			p.remove = append(p.remove, former)
			without++
		default:
			candidates = append(candidates, former)
		}
	}
	p.remove = append(p.remove, candidates[:max(0, min(most-without, len(candidates)))]...)
	return p
}

// surge makes new pods beside old ones: at once where the old one is unavailable, and on no more than extra nodes where it is
// available. The old one goes when the new one is available, or the set no longer wants its node and enough others are.
func (l *look) surge(nodes []string, extra, wanted int) *plan {
	p := &plan{}
	surging, available := 0, 0
	var candidates []string
	var strays []*corev1.Pod // available, on nodes that are no longer wanted
	for _, node := range nodes {
		current, former, ok := l.pair(node)
		if !ok {
			surging++
			continue
		}
		if oldest := first(former, current); oldest != nil && l.available(oldest) {
			available++
		}
		_, there := l.fits[node]
		switch {
		case former == nil || current == nil && !there: // manage and the pod collector see to it
		case current != nil && l.available(current):
			p.remove = append(p.remove, former)
		case current != nil:
			surging++
		case !l.fits[node].runs && l.available(former):
			strays = append(strays, former)
		case !l.fits[node].runs:
			p.remove = append(p.remove, former)
		case l.available(former):
			candidates = append(candidates, node)
		default:
			p.create = append(p.create, node)
		}
	}
	p.remove = append(p.remove, strays[:max(0, min(available-wanted, len(strays)))]...)
	p.create = append(p.create, candidates[:max(0, min(extra-surging, len(candidates)))]...)
	return p
}

func first(a, b *corev1.Pod) *corev1.Pod {
	if a != nil {
		return a
	}
	return b
}
