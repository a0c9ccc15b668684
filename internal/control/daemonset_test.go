package control_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func daemonSet(name string, change ...func(*appsv1.DaemonSet)) *appsv1.DaemonSet {
	d := deployment("default", name, 1)
	ds := &appsv1.DaemonSet{ObjectMeta: d.ObjectMeta, Spec: appsv1.DaemonSetSpec{Selector: d.Spec.Selector, Template: d.Spec.Template}}
	for _, f := range change {
		f(ds)
	}
	return ds
}

func rolling(unavailable, surge int32) func(*appsv1.DaemonSet) {
	u, s := intstr.FromInt32(unavailable), intstr.FromInt32(surge)
	return func(ds *appsv1.DaemonSet) {
		ds.Spec.Template.Spec.Containers[0].Ports = nil
		ds.Spec.UpdateStrategy = appsv1.DaemonSetUpdateStrategy{Type: appsv1.RollingUpdateDaemonSetStrategyType,
			RollingUpdate: &appsv1.RollingUpdateDaemonSet{MaxUnavailable: &u, MaxSurge: &s}}
	}
}

func (b *bench) addDaemons(ds *appsv1.DaemonSet) {
	b.Helper()
	if _, err := client.Create(b.Context(), b.door, client.DaemonSets, ds); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) daemons(name string) *appsv1.DaemonSet {
	b.Helper()
	ds, err := client.Get[*appsv1.DaemonSet](b.Context(), b.door, client.DaemonSets, "default", name)
	if err != nil {
		b.Fatal(err)
	}
	return ds
}

func (b *bench) changeDaemons(name string, f func(*appsv1.DaemonSet)) {
	b.Helper()
	for {
		ds := b.daemons(name).DeepCopy()
		f(ds)
		_, err := client.Update(b.Context(), b.door, client.DaemonSets, ds)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			b.Fatal(err)
		}
	}
}

// daemonsOn reports whether a set's pods are available, and of its newest template, on so many nodes and on no others.
func (b *bench) daemonsOn(name string, nodes int32) func() bool {
	return func() bool {
		ds := b.daemons(name)
		s := ds.Status
		return s.ObservedGeneration >= ds.Generation && s.DesiredNumberScheduled == nodes && s.CurrentNumberScheduled == nodes &&
			s.NumberReady == nodes && s.NumberAvailable == nodes && s.UpdatedNumberScheduled == nodes && s.NumberMisscheduled == 0 &&
			s.NumberUnavailable == 0
	}
}

// watchPods tells of pods that are made and of pods that are gone.
func (b *bench) watchPods(f func(p *corev1.Pod, gone bool)) {
	b.pods.Handle(cache.Handler[*corev1.Pod]{Add: func(p *corev1.Pod) { f(p, false) }, Delete: func(p *corev1.Pod) { f(p, true) }})
}

// A pod is on each node, on nodes that come too, and not on those that the set does not select or tolerate; a new template is
// rolled out, and an old one comes back under its old revision.
func TestDaemonSet(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for i := range 3 {
			b.addNode(fmt.Sprint("n", i), map[string]string{"disk": "ssd"})
		}
		b.addDaemons(daemonSet("agent"))
		b.await("daemons", time.Minute, b.daemonsOn("agent", 3))
		b.settle(time.Second)
		b.addNode("n3", nil)
		b.await("a further one", time.Minute, b.daemonsOn("agent", 4))
		p := b.podsOf("default", running)[0]
		hash := p.Labels["controller-revision-hash"]
		if p.Labels["pod-template-generation"] != "1" || hash == "" || len(p.Spec.Tolerations) < 6 || p.GenerateName != "agent-" {
			b.Errorf("pod %+v", p)
		}
		if r := b.revisions(); len(r) != 1 || r[0].Name != "agent-"+hash || r[0].Labels["controller-revision-hash"] != hash {
			b.Errorf("revisions %+v", r)
		}
		b.hasEvent("default", "daemonset-controller Normal SuccessfulCreate: Created pod: agent-")

		b.changeDaemons("agent", func(ds *appsv1.DaemonSet) { ds.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "ssd"} })
		b.await("fewer", time.Minute, b.daemonsOn("agent", 3))
		b.settle(time.Second)
		if on := b.podsOf("default", func(p *corev1.Pod) bool { return p.Spec.NodeName == "n3" }); len(on) != 0 {
			b.Errorf("still on n3: %s", podNames(on))
		}
		b.changeDaemons("agent", func(ds *appsv1.DaemonSet) { ds.Spec.Template.Spec.NodeSelector = nil })
		b.await("rolled back", time.Minute, b.daemonsOn("agent", 4))
		if r := b.revisions(); len(r) != 2 || r[1].Labels["controller-revision-hash"] != hash || r[1].Revision != 3 {
			b.Errorf("revisions %+v", r)
		}
		b.taint("n0", corev1.Taint{Key: "mine", Effect: corev1.TaintEffectNoSchedule})
		b.await("misscheduled", time.Minute, func() bool {
			s := b.daemons("agent").Status
			return s.NumberMisscheduled == 1 && s.DesiredNumberScheduled == 3
		})
		b.taint("n0", corev1.Taint{Key: "mine", Effect: corev1.TaintEffectNoExecute})
		b.await("evicted", time.Minute, b.daemonsOn("agent", 3))
		b.taint("n0")
		b.await("back", time.Minute, b.daemonsOn("agent", 4))
		for _, e := range b.events("default") {
			if strings.Contains(e, "Warning") {
				b.Error(e)
			}
		}
	})
}

// taint gives a node these taints and no others.
func (b *bench) taint(node string, taints ...corev1.Taint) {
	b.Helper()
	n, err := client.Get[*corev1.Node](b.Context(), b.door, client.Nodes, "", node)
	if err != nil {
		b.Fatal(err)
	}
	n = n.DeepCopy()
	n.Spec.Taints = taints
	if _, err := client.Update(b.Context(), b.door, client.Nodes, n); err != nil {
		b.Fatal(err)
	}
}

// A rollout leaves no more nodes without a pod, and makes no more pods beside others, than the strategy allows; each pod is made
// once.
func TestDaemonSetRollout(t *testing.T) {
	const nodes = 10
	for _, c := range []struct{ unavailable, surge int32 }{{1, 0}, {4, 0}, {0, 3}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				for i := range nodes {
					b.addNode(fmt.Sprint("n", i), nil)
				}
				b.addDaemons(daemonSet("agent", rolling(c.unavailable, c.surge)))
				b.await("daemons", time.Minute, b.daemonsOn("agent", nodes))
				b.settle(time.Second)
				var fewest, most int
				fewest = nodes
				b.watchPods(func(*corev1.Pod, bool) {
					n := len(b.podsOf("default", running))
					fewest, most = min(fewest, n), max(most, len(b.podsOf("default", func(p *corev1.Pod) bool { return p.DeletionTimestamp == nil })))
				})
				b.settle(time.Second)
				b.changeDaemons("agent", func(ds *appsv1.DaemonSet) { ds.Spec.Template.Spec.Containers[0].Image = "busybox:2" })
				b.await("rollout", 10*time.Minute, b.daemonsOn("agent", nodes))
				b.settle(time.Second)
				if n := b.createdPods(); n != 2*nodes {
					b.Errorf("%d pods were made", n)
				}
				if fewest < nodes-int(c.unavailable) || most > nodes+int(c.surge) {
					b.Errorf("from %d running to %d in all", fewest, most)
				}
				if r := b.revisions(); len(r) != 2 {
					b.Errorf("%d revisions", len(r))
				}
			})
		})
	}
}

// Failed pods are replaced after pauses that grow.
func TestDaemonSetFailedPods(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.addDaemons(daemonSet("agent"))
		b.await("daemon", time.Minute, b.daemonsOn("agent", 1))
		var lives []time.Duration
		for range 5 {
			p := b.podsOf("default", running)[0]
			failed := p.DeepCopy()
			failed.Status.Phase = corev1.PodFailed
			failed.Status.Conditions = nil
			if _, err := client.UpdateStatus(b.Context(), b.door, client.Pods, failed); err != nil {
				b.Fatal(err)
			}
			at := time.Now()
			b.await("another", 10*time.Minute, func() bool {
				now := b.podsOf("default", running)
				return len(now) == 1 && now[0].UID != p.UID
			})
			lives = append(lives, time.Since(at).Truncate(time.Second))
		}
		if !slices.IsSorted(lives) || lives[4] < 3*time.Second || lives[4] > 20*time.Second {
			b.Errorf("replaced after %v", lives)
		}
		b.hasEvent("default", "daemonset-controller Warning FailedDaemonPod: Found failed daemon pod default/agent-")
	})
}
