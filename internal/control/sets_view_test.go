package control_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// However late the controllers' views are, sets make no pod, claim or revision twice, and never run two daemons on a node.
func TestLateViewsOfSets(t *testing.T) {
	for _, by := range []time.Duration{10 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second} {
		t.Run(by.String(), func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				for i := range 3 {
					b.addNode(fmt.Sprint("n", i), nil)
				}
				b.settle(10 * time.Second)
				b.neverTwo("agent-")
				b.addSet(statefulSet("web", 3, withClaim(true, true)))
				b.addSet(statefulSet("wide", 20, parallel))
				b.addDaemons(daemonSet("agent"))
				done := func() bool { return b.setDone("web")() && b.setDone("wide")() && b.daemonsOn("agent", 3)() }
				b.await("sets", 20*time.Minute, done)
				if n := b.createdPods(); n != 3+20+3 {
					b.Errorf("%d pods were made", n)
				}
				b.changeSet("web", image("busybox:2"))
				b.changeSet("wide", image("busybox:2"))
				b.changeDaemons("agent", func(ds *appsv1.DaemonSet) { ds.Spec.Template.Spec.Containers[0].Image = "busybox:2" })
				b.await("rollouts", 40*time.Minute, done)
				b.settle(time.Minute)
				if n, r := b.createdPods(), b.revisions(); n != 2*(3+20+3) || len(r) != 6 {
					b.Errorf("%d pods were made, %d revisions", n, len(r))
				}
			}, late("shared-informers", by))
		})
	}
}

// neverTwo fails when two pods of a DaemonSet that are not on their way out are on one node.
func (b *bench) neverTwo(prefix string) {
	b.watchPods(func(*corev1.Pod, bool) {
		on := map[string]string{}
		for _, p := range b.podsOf("default", func(p *corev1.Pod) bool { return p.GenerateName == prefix && p.DeletionTimestamp == nil }) {
			node := pinnedTo(p)
			if on[node] != "" {
				b.Errorf("%s and %s are both on %s", p.Name, on[node], node)
			}
			on[node] = p.Name
		}
	})
	b.settle(time.Second)
}

// With every seventh write failing, before or after it was made, rollouts of sets still end, and nothing is left over.
func TestFlakyDoorOfSets(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := &source{r: rand.New(rand.NewPCG(seed, 7))}
			wrap := func(f client.Factory) client.Factory {
				return func(user api.User, agent string) client.Interface { return &flaky{f(user, agent), rnd} }
			}
			inBubble(t, control.Config{}, func(b *bench) {
				for i := range 3 {
					b.addNode(fmt.Sprint("n", i), nil)
				}
				b.addSet(statefulSet("web", 3, withClaim(true, false)))
				b.addSet(statefulSet("wide", 10, parallel))
				b.addDaemons(daemonSet("agent"))
				for i := range 3 {
					b.changeSet("web", image(fmt.Sprint("busybox:", i)))
					b.changeSet("wide", func(s *appsv1.StatefulSet) { image(fmt.Sprint("busybox:", i))(s); replicas(int32(8 + i))(s) })
					b.changeDaemons("agent", func(ds *appsv1.DaemonSet) {
						ds.Spec.Template.Spec.Containers[0].Image = fmt.Sprint("busybox:", i)
					})
					b.settle(time.Duration(rnd.draw()) * time.Second)
				}
				b.await("rollouts", time.Hour, func() bool { return b.setDone("web")() && b.setDone("wide")() && b.daemonsOn("agent", 3)() })
				b.settle(10 * time.Minute)
				if n := len(b.podsOf("default", running)); n != 3+10+3 {
					b.Errorf("%d pods run", n)
				}
				for _, ref := range []client.Ref{{Resource: client.StatefulSets, Name: "web"}, {Resource: client.StatefulSets, Name: "wide"}, {Resource: client.DaemonSets, Name: "agent"}} {
					if err := client.Delete(b.Context(), b.door, ref.Resource, "default", ref.Name, ""); err != nil {
						b.Fatal(err)
					}
				}
				b.settle(20 * time.Minute)
				if left := b.outcome(); left != "" {
					b.Errorf("left over:\n%s", left)
				}
			}, wrap)
		})
	}
}

// What somebody else changes of what sets keep, or deletes, is set right, twice over.
func TestOthersWritesToSetsAreSetRight(t *testing.T) {
	in := func(r client.Ref, name string) client.Ref { r.Namespace, r.Name = "default", name; return r }
	sets, daemons := client.Ref{Resource: client.StatefulSets}, client.Ref{Resource: client.DaemonSets}
	setWell := func(o api.Object) bool {
		s, _ := o.(*appsv1.StatefulSet)
		return s != nil && s.Status.Replicas == 2 && s.Status.AvailableReplicas == 2 && s.Status.UpdatedReplicas == 2 && s.Status.CurrentRevision != ""
	}
	daemonsWell := func(o api.Object) bool {
		ds, _ := o.(*appsv1.DaemonSet)
		return ds != nil && ds.Status.DesiredNumberScheduled == 2 && ds.Status.NumberAvailable == 2 && ds.Status.UpdatedNumberScheduled == 2
	}
	owned := func(o api.Object) bool { return o != nil && metav1.GetControllerOf(o) != nil }
	podWell := func(o api.Object) bool { p, _ := o.(*corev1.Pod); return p != nil && running(p) && owned(o) }
	for name, c := range map[string]struct {
		ref         client.Ref
		sub, change string // a merge patch; "" deletes
		right       func(api.Object) bool
	}{
		"a set's status":      {in(sets, "web"), "status", `{"status":{"availableReplicas":0,"currentRevision":""}}`, setWell},
		"daemons' status":     {in(daemons, "agent"), "status", `{"status":{"desiredNumberScheduled":0,"numberAvailable":0}}`, daemonsWell},
		"a set's pod":         {in(client.Ref{Resource: client.Pods}, "web-0"), "", "", podWell},
		"a set's pod's owner": {in(client.Ref{Resource: client.Pods}, "web-0"), "", `{"metadata":{"ownerReferences":null}}`, podWell},
		"a daemon":            {in(client.Ref{Resource: client.Pods}, "agent-"), "", "", podWell},
		"a daemon's owner":    {in(client.Ref{Resource: client.Pods}, "agent-"), "", `{"metadata":{"ownerReferences":null}}`, podWell},
		"the name that a pod's label is": {in(client.Ref{Resource: client.Pods}, "web-1"), "", `{"metadata":{"labels":{"statefulset.kubernetes.io/pod-name":null}}}`, func(o api.Object) bool {
			return podWell(o) && o.GetLabels()["statefulset.kubernetes.io/pod-name"] == "web-1"
		}},
		"a set's revision":               {in(client.Ref{Resource: client.ControllerRevisions}, "web-"), "", "", owned},
		"daemons' revision":              {in(client.Ref{Resource: client.ControllerRevisions}, "agent-"), "", "", owned},
		"the owner of a set's revision":  {in(client.Ref{Resource: client.ControllerRevisions}, "web-"), "", `{"metadata":{"ownerReferences":null}}`, owned},
		"the owner of daemons' revision": {in(client.Ref{Resource: client.ControllerRevisions}, "agent-"), "", `{"metadata":{"ownerReferences":null}}`, owned},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				b.addNode("n0", nil)
				b.addNode("n1", nil)
				b.addSet(statefulSet("web", 2, withClaim(true, true)))
				b.addDaemons(daemonSet("agent"))
				b.await("sets", time.Minute, func() bool { return b.setDone("web")() && b.daemonsOn("agent", 2)() })
				b.settle(10 * time.Second)
				for round := range 2 {
					o := b.found(c.ref)
					if !c.right(o) {
						b.Fatalf("round %d: wrong to begin with: %+v", round, o)
					}
					ref := c.ref
					ref.Name, ref.Subresource = o.GetName(), c.sub
					var err error
					if c.change == "" {
						err = b.door.Delete(b.Context(), ref, metav1.DeleteOptions{})
					} else {
						_, err = b.door.Patch(b.Context(), ref, types.MergePatchType, []byte(c.change), metav1.PatchOptions{})
					}
					if err != nil {
						b.Fatal(err)
					}
					b.settle(30 * time.Second)
					if now := b.found(c.ref); !c.right(now) {
						b.Fatalf("round %d: still wrong: %+v", round, now)
					}
				}
				b.await("well", time.Minute, func() bool { return b.setDone("web")() && b.daemonsOn("agent", 2)() })
			})
		})
	}
}
