package control_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control"
	"sampan.dev/internal/control/nodes"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func (b *bench) node(name string) *corev1.Node {
	b.Helper()
	n, err := client.Get[*corev1.Node](b.Context(), b.door, client.Nodes, "", name)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func ready(n *corev1.Node) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c
		}
	}
	return corev1.NodeCondition{}
}

func tainted(n *corev1.Node, key string, effect corev1.TaintEffect) bool {
	return slices.ContainsFunc(n.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key && t.Effect == effect })
}

// since returns how long it takes until cond, in virtual time.
func (b *bench) since(what string, most time.Duration, cond func() bool) time.Duration {
	b.Helper()
	start := time.Now()
	b.await(what, most, cond)
	return time.Since(start)
}

func TestSilentNode(t *testing.T) {
	inBubble(t, control.Config{NodeIPAM: ipam}, func(b *bench) {
		for i := range 5 {
			b.addNode(fmt.Sprint("n", i), map[string]string{corev1.LabelOSStable: "linux"})
		}
		b.settle(time.Second)
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 10)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.settle(33 * time.Second)
		if l := b.node("n1").Labels["beta.kubernetes.io/os"]; l != "linux" {
			b.Errorf("old os label %q", l)
		}
		if len(b.node("n1").Spec.Taints) != 0 {
			b.Errorf("a healthy node has taints %v", b.node("n1").Spec.Taints)
		}

		last := b.lastHeard("n1")
		b.setSilent(true, "n1")
		b.await("unknown", time.Minute, func() bool { return ready(b.node("n1")).Status == corev1.ConditionUnknown })
		if d := time.Since(last); d < 50*time.Second || d > 56*time.Second {
			b.Errorf("given up after %v", d)
		}
		if c := ready(b.node("n1")); c.Reason != "NodeStatusUnknown" || c.Message != "Kubelet stopped posting node status." {
			b.Errorf("%+v", c)
		}
		b.settle(time.Second)
		n := b.node("n1")
		if !tainted(n, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute) || !tainted(n, corev1.TaintNodeUnreachable, corev1.TaintEffectNoSchedule) {
			b.Errorf("taints %v", n.Spec.Taints)
		}
		on := func(p *corev1.Pod) bool { return p.Spec.NodeName == "n1" }
		for _, p := range b.podsOf("default", on) {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodReady && c.Status != corev1.ConditionFalse {
					b.Errorf("pod on the silent node is ready: %+v", c)
				}
			}
		}
		if len(b.podsOf("default", on)) != 2 {
			b.Fatalf("%d pods on n1", len(b.podsOf("default", on)))
		}
		d := b.since("eviction", 10*time.Minute, func() bool {
			return len(b.podsOf("default", func(p *corev1.Pod) bool { return on(p) && p.DeletionTimestamp != nil })) == 2
		})
		if d < 298*time.Second || d > 301*time.Second {
			b.Errorf("evicted after %v", d)
		}
		b.await("replacement", time.Minute, func() bool {
			return len(b.podsOf("default", func(p *corev1.Pod) bool { return running(p) && !on(p) })) == 10
		})
		for _, p := range b.podsOf("default", on) {
			if !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.DisruptionTarget && c.Reason == "DeletionByTaintManager"
			}) {
				b.Errorf("conditions %v", p.Status.Conditions)
			}
		}
		b.hasEvent("default", "taint-eviction-controller Normal TaintManagerEviction: Marking for deletion Pod default/web-")
		b.hasEvent("default", "node-controller Normal NodeNotReady: Node n1 status is now: NodeNotReady")
		b.hasEvent("default", "node-controller Normal RegisteredNode: Node n1 event: Registered Node n1 in Controller")
		b.hasEvent("default", "node-controller Warning NodeNotReady: Node is not ready")

		b.setSilent(false, "n1")
		b.postStatus(b.node("n1"), corev1.ConditionTrue)
		b.await("taints off", 20*time.Second, func() bool { return len(b.node("n1").Spec.Taints) == 0 })
	})
}

func TestReturnBeforeEvictionCancelsIt(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for i := range 3 {
			b.addNode(fmt.Sprint("n", i), nil)
		}
		b.settle(time.Second)
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 3)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.setSilent(true, "n1")
		b.settle(3 * time.Minute)
		if !tainted(b.node("n1"), corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute) {
			b.Fatal("not tainted")
		}
		b.setSilent(false, "n1")
		b.postStatus(b.node("n1"), corev1.ConditionTrue)
		b.settle(10 * time.Minute)
		if n := b.createdPods(); n != 3 {
			b.Errorf("%d pods were made", n)
		}
		b.hasEvent("default", "TaintManagerEviction: Cancelling deletion of Pod default/web-")
	})
}

// A pod that is being deleted stays while its node is silent. Its eviction is planned and called off as any other's, and told once more when
// its time comes. Seen beside a stock controller manager v1.37.1.
func TestEvictionOfWhatIsBeingDeleted(t *testing.T) {
	for _, c := range []struct {
		name    string
		silent  time.Duration
		message string
	}{
		{"node comes back", 3 * time.Minute, "Cancelling deletion of Pod default/held"},
		{"node stays away", 7 * time.Minute, "Marking for deletion Pod default/held"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, control.Config{}, func(b *bench) {
				b.addNode("n0", nil)
				b.addNode("n1", nil)
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "held", Finalizers: []string{"example.com/held"}},
					Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
				if _, err := client.Create(b.Context(), b.door, client.Pods, pod); err != nil {
					b.Fatal(err)
				}
				b.settle(time.Second)
				if err := client.Delete(b.Context(), b.door, client.Pods, "default", "held", ""); err != nil {
					b.Fatal(err)
				}
				b.setSilent(true, "n1")
				b.settle(c.silent)
				b.setSilent(false, "n1")
				b.postStatus(b.node("n1"), corev1.ConditionTrue)
				b.settle(time.Minute)
				b.hasEvent("default", "taint-eviction-controller Normal TaintManagerEviction: "+c.message)
			})
		})
	}
}

func TestNodeThatNeverReports(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("other", nil)
		if _, err := client.Create(b.Context(), b.door, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "10.240.79.157"}}); err != nil {
			b.Fatal(err)
		}
		d := b.since("unknown", 2*time.Minute, func() bool { return ready(b.node("10.240.79.157")).Status == corev1.ConditionUnknown })
		if d < 59*time.Second || d > 66*time.Second {
			b.Errorf("after %v", d)
		}
		n := b.node("10.240.79.157")
		if c := ready(n); c.Reason != "NodeStatusNeverUpdated" || c.Message != "Kubelet never posted node status." || len(n.Status.Conditions) != 4 {
			b.Errorf("%+v", n.Status.Conditions)
		}
		b.settle(time.Second)
		if !tainted(b.node(n.Name), corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute) {
			b.Errorf("taints %v", b.node(n.Name).Spec.Taints)
		}
		b.postStatus(b.node(n.Name), corev1.ConditionTrue)
		b.await("taints off", time.Second, func() bool { return len(b.node(n.Name).Spec.Taints) == 0 })
		if err := client.Delete(b.Context(), b.door, client.Nodes, "", n.Name, ""); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		b.hasEvent("default", "RemovingNode: Node 10.240.79.157 event: Removing Node 10.240.79.157 from Controller")
	})
}

// When every node falls silent it is we who are cut off: nothing is evicted, and when they are heard again nothing was lost.
func TestAllSilent(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		var names []string
		for i := range 6 {
			names = append(names, fmt.Sprint("n", i))
			b.addNode(names[i], map[string]string{corev1.LabelTopologyZone: fmt.Sprint("z", i%2)})
		}
		b.settle(time.Second)
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 12)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.setSilent(true, names...)
		b.settle(time.Hour)
		for _, name := range names {
			if n := b.node(name); tainted(n, corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute) {
				b.Errorf("%s is to be evicted", name)
			}
		}
		b.setSilent(false, names...)
		for _, name := range names {
			b.postStatus(b.node(name), corev1.ConditionTrue)
		}
		b.settle(10 * time.Minute)
		if b.createdPods() != 12 {
			b.Errorf("%d pods were made", b.createdPods())
		}
		for _, name := range names {
			if n := b.node(name); len(n.Spec.Taints) > 0 {
				b.Errorf("%s has %v", name, n.Spec.Taints)
			}
		}
	})
}

// Check 4 of the keel, without the real scheduler: 50 of 120 nodes fall silent.
func TestFiftySilentNodes(t *testing.T) {
	began := time.Now()
	inBubble(t, control.Config{NodeLifecycle: nodes.LifecycleConfig{EvictionRate: 10}}, func(b *bench) {
		var silent []string
		for i := range 120 {
			name := fmt.Sprintf("n%03d", i)
			b.addNode(name, nil)
			if i < 50 {
				silent = append(silent, name)
			}
		}
		b.settle(time.Second)
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 240)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.setSilent(true, silent...)
		d := b.since("replacement", 20*time.Minute, func() bool {
			return len(b.podsOf("default", func(p *corev1.Pod) bool { return running(p) && !slices.Contains(silent, p.Spec.NodeName) })) == 240
		})
		if d < 340*time.Second || d > 375*time.Second {
			b.Errorf("replaced after %v", d)
		}
		if n := b.createdPods(); n != 340 {
			b.Errorf("%d pods were made for 240 and 100 that were lost", n)
		}
	})
	t.Logf("real time: %v", time.Since(began))
}

func TestEvictionRate(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		var silent []string
		for i := range 20 {
			name := fmt.Sprintf("n%02d", i)
			b.addNode(name, nil)
			if i < 6 {
				silent = append(silent, name)
			}
		}
		b.settle(time.Minute)
		b.setSilent(true, silent...)
		count := func() (n int) {
			for _, name := range silent {
				if tainted(b.node(name), corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute) {
					n++
				}
			}
			return n
		}
		b.await("the first", 2*time.Minute, func() bool { return count() == 1 })
		for want := 1; want <= 6; want++ {
			if n := count(); n != want {
				b.Errorf("%d tainted, want %d", n, want)
			}
			b.settle(10*time.Second + time.Millisecond)
		}
	})
}

func TestIPAM(t *testing.T) {
	inBubble(t, control.Config{NodeIPAM: ipam}, func(b *bench) {
		seen := map[string]string{}
		for i := range 10 {
			b.addNode(fmt.Sprint("n", i), nil)
		}
		b.settle(time.Second)
		for i := range 10 {
			n := b.node(fmt.Sprint("n", i))
			if len(n.Spec.PodCIDRs) != 1 || n.Spec.PodCIDR != n.Spec.PodCIDRs[0] || seen[n.Spec.PodCIDR] != "" {
				b.Errorf("%s has %v, as has %s", n.Name, n.Spec.PodCIDRs, seen[n.Spec.PodCIDR])
			}
			seen[n.Spec.PodCIDR] = n.Name
			if n.Annotations[corev1.ObjectTTLAnnotationKey] != "0" {
				b.Errorf("ttl %q", n.Annotations[corev1.ObjectTTLAnnotationKey])
			}
		}
	})
}

// A node for which there is no range left has one as soon as another goes.
func TestIPAMWaits(t *testing.T) {
	two := nodes.IPAMConfig{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/23")}}
	inBubble(t, control.Config{NodeIPAM: two}, func(b *bench) {
		for i := range 2 {
			b.addNode(fmt.Sprint("n", i), nil)
		}
		b.settle(time.Second)
		b.addNode("late", nil)
		b.settle(10 * time.Minute)
		if n := b.node("late"); len(n.Spec.PodCIDRs) > 0 {
			b.Fatalf("a third range of two: %v", n.Spec.PodCIDRs)
		}
		b.setSilent(true, "n1")
		if err := client.Delete(b.Context(), b.door, client.Nodes, "", "n1", ""); err != nil {
			b.Fatal(err)
		}
		b.settle(time.Second)
		if n := b.node("late"); len(n.Spec.PodCIDRs) != 1 {
			b.Errorf("after another has gone it has %v", n.Spec.PodCIDRs)
		}
	})
}

func TestPodsOfDeletedNode(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		for i := range 2 {
			b.addNode(fmt.Sprint("n", i), nil)
		}
		b.settle(time.Second)
		if _, err := client.Create(b.Context(), b.door, client.Deployments, deployment("default", "web", 4)); err != nil {
			b.Fatal(err)
		}
		b.await("rollout", time.Minute, b.rolledOut("default", "web"))
		b.setSilent(true, "n1")
		if err := client.Delete(b.Context(), b.door, client.Nodes, "", "n1", ""); err != nil {
			b.Fatal(err)
		}
		d := b.since("pods of the node gone", 5*time.Minute, func() bool {
			return len(b.podsOf("default", func(p *corev1.Pod) bool { return p.Spec.NodeName == "n1" })) == 0
		})
		if d < 40*time.Second || d > 61*time.Second {
			b.Errorf("after %v", d)
		}
		b.await("replacement", time.Minute, b.rolledOut("default", "web"))
	})
}

// Each pod that is named onto a node that is not there has the whole quarantine, however often that name was collected before.
func TestEveryPodOfAnAbsentNodeIsWaitedFor(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("other", nil)
		lives := func(name string, finalizers ...string) time.Duration {
			b.Helper()
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Finalizers: finalizers}}
			pod.Spec = corev1.PodSpec{NodeName: "absent", Containers: []corev1.Container{{Name: "c", Image: "i"}}}
			if _, err := client.Create(b.Context(), b.door, client.Pods, pod); err != nil {
				b.Fatal(err)
			}
			return b.since(name+" collected", 5*time.Minute, func() bool {
				p, err := client.Get[*corev1.Pod](b.Context(), b.door, client.Pods, "default", name)
				return err != nil || p.DeletionTimestamp != nil
			})
		}
		for round, pause := range []time.Duration{0, time.Second, 20 * time.Second, 3 * time.Minute} {
			time.Sleep(pause)
			if d := lives(fmt.Sprint("p", round)); d < 40*time.Second || d > 61*time.Second {
				b.Errorf("pod %d was collected after %v", round, d)
			}
		}
		if d := lives("held", "example.com/held"); d < 40*time.Second {
			b.Errorf("the held pod was collected after %v", d)
		}
		time.Sleep(2 * time.Minute) // it lingers
		if d := lives("beside"); d < 40*time.Second || d > 61*time.Second {
			b.Errorf("the pod beside one that lingers was collected after %v", d)
		}
	})
}

// A node that is made anew under a name starts anew: what was due of the one before it, or heard of it, is not its own.
func TestNodeMadeAnew(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("other", nil)
		b.addNode("n1", nil)
		b.settle(time.Minute)
		if err := client.Delete(b.Context(), b.door, client.Nodes, "", "n1", ""); err != nil {
			b.Fatal(err)
		}
		b.settle(15 * time.Second) // its agent goes on to renew the lease
		b.setSilent(true, "n1")
		b.settle(3 * time.Minute)
		if _, err := client.Create(b.Context(), b.door, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}); err != nil {
			b.Fatal(err)
		}
		d := b.since("unknown", 2*time.Minute, func() bool { return ready(b.node("n1")).Status == corev1.ConditionUnknown })
		if d < 59*time.Second || d > 66*time.Second {
			b.Errorf("a node that never reported was given up after %v", d)
		}
	})
}

func TestNoExecuteTaintByHand(t *testing.T) {
	inBubble(t, control.Config{}, func(b *bench) {
		b.addNode("n0", nil)
		b.addNode("n1", nil)
		ctx := b.Context()
		mk := func(name string, seconds int64) {
			p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: deployment("", "x", 1).Spec.Template.Spec}
			p.Spec.NodeName = "n0"
			switch {
			case seconds > 0:
				p.Spec.Tolerations = []corev1.Toleration{{Key: "x", Operator: corev1.TolerationOpEqual, Value: "y", Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds}}
			case seconds < 0:
				p.Spec.Tolerations = []corev1.Toleration{{Key: "x", Operator: corev1.TolerationOpExists}}
			}
			if _, err := client.Create(ctx, b.door, client.Pods, p); err != nil {
				b.Fatal(err)
			}
		}
		mk("none", 0)
		mk("thirty", 30)
		mk("ever", -1)
		b.settle(time.Second)
		ref := client.Ref{Resource: client.Nodes, Name: "n0"}
		if _, err := client.MergePatch(ctx, b.door, ref, map[string]any{"spec": map[string]any{"taints": []corev1.Taint{{Key: "x", Value: "y", Effect: corev1.TaintEffectNoExecute}}}}); err != nil {
			b.Fatal(err)
		}
		gone := func(name string) func() bool {
			return func() bool { _, ok := b.pods.Get("default", name); return !ok }
		}
		if d := b.since("none", 5*time.Second, gone("none")); d > time.Second {
			b.Errorf("none left after %v", d)
		}
		if d := b.since("thirty", time.Minute, gone("thirty")); d < 29*time.Second || d > 31*time.Second {
			b.Errorf("thirty left after %v", d)
		}
		b.settle(time.Hour)
		if gone("ever")() {
			b.Error("ever left")
		}
	})
}
