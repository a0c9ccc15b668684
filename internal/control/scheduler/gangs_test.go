package scheduler_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/client"
	"sampan.dev/internal/testkit"
)

const noVictims = ", pod group preemption: No preemption victims found for incoming preemptor"

// withGangs runs body in virtual time on a cluster with the feature GenericWorkload and one node with three CPUs.
func withGangs(t *testing.T, body func(c *cluster)) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{T: t, Cluster: testkit.StartWith(t, testkit.Options{Gangs: true, NoScheduler: true, Controllers: []string{"serviceaccount", "podgroup-protection-controller"}})}
		c.node("n", "3")
		c.StartScheduler(t)
		synctest.Wait()
		body(c)
	})
}

func (c *cluster) node(name, cpu string) {
	c.Helper()
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("10")}
	n.Status.Capacity = n.Status.Allocatable
	ref := client.Ref{Resource: client.Nodes, Name: name}
	c.create(ref, n)
	if _, err := c.Door.Patch(c.Context, ref, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{}); err != nil {
		c.Fatal(err) // admission has tainted it as not ready
	}
}

func (c *cluster) group(name string, least int32) {
	c.Helper()
	g := &schedulingv1alpha3.PodGroup{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	if least > 0 {
		g.Spec.SchedulingPolicy.Gang = &schedulingv1alpha3.GangSchedulingPolicy{MinCount: least}
	} else {
		g.Spec.SchedulingPolicy.Basic = &schedulingv1alpha3.BasicSchedulingPolicy{}
	}
	c.create(client.Ref{Resource: client.PodGroups, Namespace: "default", Name: name}, g)
}

// condition is what the group says of its placement.
func (c *cluster) condition(name string) string {
	c.Helper()
	obj, err := c.Door.Get(c.Context, client.Ref{Resource: client.PodGroups, Namespace: "default", Name: name}, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	cond := meta.FindStatusCondition(obj.(*schedulingv1alpha3.PodGroup).Status.Conditions, schedulingv1alpha3.PodGroupInitiallyScheduled)
	if cond == nil {
		return ""
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", cond.Status, cond.Reason, cond.Message))
}

func of(group string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Spec.SchedulingGroup = &corev1.PodSchedulingGroup{PodGroupName: &group} }
}

// bound counts the pods that have a node.
func (c *cluster) bound(names ...string) (n int) {
	c.Helper()
	for _, name := range names {
		if c.get(name).Spec.NodeName != "" {
			n++
		}
	}
	return n
}

// Of a gang of four of which three fit none is bound, everybody is told, nothing is held against others, and a second node brings all.
func TestGangAllOrNone(t *testing.T) {
	withGangs(t, func(c *cluster) {
		c.group("g", 4)
		pods := []string{"p0", "p1", "p2", "p3"}
		for _, name := range pods[:3] {
			c.pod(name, of("g"))
			synctest.Wait()
		}
		if n, said := c.bound(pods[:3]...), c.condition("g"); n != 0 || said != "" || c.message("p0") != "waiting" {
			c.Fatalf("%d of three bound; the group says %q, a pod %q", n, said, c.message("p0"))
		}
		c.pod("p3", of("g"))
		synctest.Wait()
		if n := c.bound(pods...); n != 0 {
			c.Fatalf("%d bound", n)
		}
		const why = "minCount (4) cannot be satisfied: 3 scheduled, 0 remaining" + noVictims
		if got := c.condition("g"); got != "False Unschedulable "+why {
			c.Errorf("the group says %q", got)
		}
		for i, name := range pods {
			want := "pod group is unschedulable, " + why
			if i == 3 {
				want = "0/1 nodes are available: 1 Insufficient cpu."
			}
			if got := c.message(name); got != want {
				c.Errorf("%s says %q, want %q", name, got, want)
			}
		}
		c.pod("other", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("3") })
		synctest.Wait()
		if c.bound("other") != 1 {
			c.Error("the room of a gang that is not placed is not free")
		}
		c.node("m", "4")
		time.Sleep(time.Minute)
		synctest.Wait()
		if n, said := c.bound(pods...), c.condition("g"); n != 4 || said != "True Scheduled" {
			c.Errorf("with room for all %d are bound; the group says %q", n, said)
		}
	})
}

// What has a node already counts: a gang half of whose bindings were written before a scheduler ended is completed by the next one.
func TestGangCountsWhatHasNodes(t *testing.T) {
	withGangs(t, func(c *cluster) {
		for _, name := range []string{"p0", "p1"} {
			c.pod(name, of("g"), func(p *corev1.Pod) { p.Spec.NodeName = "n" })
		}
		c.pod("p2", of("g"))
		synctest.Wait()
		if c.bound("p2") != 0 {
			c.Fatal("bound without its group")
		}
		c.group("g", 3)
		synctest.Wait()
		if n, said := c.bound("p0", "p1", "p2"), c.condition("g"); n != 3 || said != "True Scheduled" {
			c.Errorf("%d bound, the group says %q", n, said)
		}
		c.pod("p3", of("g")) // one more than there is room for
		synctest.Wait()
		if n, said := c.bound("p3"), c.condition("g"); n != 0 || said != "True Scheduled" {
			c.Errorf("%d bound, the group says %q", n, said)
		}
		if got := c.message("p3"); got != "0/1 nodes are available: 1 Insufficient cpu." {
			c.Errorf("p3 says %q", got)
		}
	})
}

// More pods than the gang asks for: those that fit are bound. The pods of a basic group are placed as far as they fit.
func TestGangWithMore(t *testing.T) {
	for name, least := range map[string]int32{"gang": 2, "basic": 0} {
		t.Run(name, func(t *testing.T) {
			withGangs(t, func(c *cluster) {
				pods := []string{"p0", "p1", "p2", "p3"}
				for _, name := range pods {
					c.pod(name, of("g"))
				}
				c.group("g", least)
				synctest.Wait()
				if n, said := c.bound(pods...), c.condition("g"); n != 3 || said != "True Scheduled" {
					c.Errorf("%d bound, the group says %q", n, said)
				}
			})
		})
	}
}

// Two gangs of three for which there is room but once: one of them is placed, whole.
func TestTwoGangs(t *testing.T) {
	withGangs(t, func(c *cluster) {
		for i := range 3 {
			for _, g := range []string{"a", "b"} {
				c.pod(fmt.Sprint(g, i), of(g))
			}
		}
		c.group("a", 3)
		c.group("b", 3)
		synctest.Wait()
		a, b := c.bound("a0", "a1", "a2"), c.bound("b0", "b1", "b2")
		if a+b != 3 || a*b != 0 {
			c.Errorf("%d of one, %d of the other are bound", a, b)
		}
	})
}

// A PodGroup stays while a pod of it has not ended.
func TestGroupStaysWhileUsed(t *testing.T) {
	withGangs(t, func(c *cluster) {
		c.group("g", 1)
		c.pod("p", of("g"))
		synctest.Wait()
		ref := client.Ref{Resource: client.PodGroups, Namespace: "default", Name: "g"}
		if err := c.Door.Delete(c.Context, ref, metav1.DeleteOptions{}); err != nil {
			c.Fatal(err)
		}
		synctest.Wait()
		if obj, err := c.Door.Get(c.Context, ref, metav1.GetOptions{}); err != nil || obj.(*schedulingv1alpha3.PodGroup).DeletionTimestamp == nil {
			c.Fatal("the group went before its pod", err)
		}
		zero := int64(0)
		pod := client.Ref{Resource: client.Pods, Namespace: "default", Name: "p"}
		if err := c.Door.Delete(c.Context, pod, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			c.Fatal(err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if _, err := c.Door.Get(c.Context, ref, metav1.GetOptions{}); err == nil {
			c.Error("the group stays without pods")
		}
	})
}
