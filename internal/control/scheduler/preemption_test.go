package scheduler_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan.dev/internal/client"
	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/control/scheduler/plugin"
)

// lowest is preemption at its plainest, with an index of the pods on each node: it evicts the pod of the lowest priority.
type lowest struct {
	door  client.Interface
	there map[string][]*plugin.Pod
	// evicted, when set, is waited for before the victim goes.
	evicted chan struct{}

	busy  atomic.Bool // another attempt finds nothing
	asked []string    // nodes that were worth a try
	said  string      // the nominated node of the pod at the time of the eviction
}

func (*lowest) Name() string                                       { return "Lowest" }
func (*lowest) Node(_, _ *plugin.Node)                             {}
func (*lowest) Since(*plugin.Pod, uint64) ([]string, uint64, bool) { return nil, 0, true }
func (p *lowest) Pod(pod *plugin.Pod, node *plugin.Node, sign int) {
	list := p.there[node.Name]
	if sign > 0 {
		p.there[node.Name] = append(list, pod)
		return
	}
	p.there[node.Name] = slices.DeleteFunc(slices.Clone(list), func(o *plugin.Pod) bool { return o.UID == pod.UID })
}

func (p *lowest) PostFilter(pod *plugin.Pod, nodes []*plugin.Node, without plugin.Without) plugin.Nomination {
	for _, n := range nodes {
		if p.busy.Load() {
			break
		}
		p.asked = append(p.asked, n.Name)
		if len(p.there[n.Name]) == 0 {
			continue
		}
		victim := slices.MinFunc(p.there[n.Name], func(a, b *plugin.Pod) int { return int(priority(a) - priority(b)) })
		if priority(victim) < priority(pod) && without(n, []*plugin.Pod{victim}).Fits() {
			return plugin.Nomination{Node: n.Name, Evict: func(ctx context.Context) error {
				obj, err := p.door.Get(ctx, client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name}, metav1.GetOptions{})
				if err != nil {
					return err
				}
				p.said = obj.(*corev1.Pod).Status.NominatedNodeName
				if p.evicted != nil {
					<-p.evicted
				}
				zero := int64(0)
				ref := client.Ref{Resource: client.Pods, Namespace: victim.Namespace, Name: victim.Name}
				return p.door.Delete(ctx, ref, metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: metav1.NewUIDPreconditions(string(victim.UID))})
			}}
		}
	}
	return plugin.Nomination{Message: "preemption: no victims."}
}

func priority(p *plugin.Pod) int32 {
	if p.Spec.Priority == nil {
		return 0
	}
	return *p.Spec.Priority
}

// A PostFilter gets the nodes where evicting may help and no others; what it nominates is written, its victim goes, and the
// pod comes to the node. Where it finds nothing, the message says so.
func TestPreemption(t *testing.T) {
	p := &lowest{there: map[string][]*plugin.Pod{}}
	lists := scheduler.DefaultProfile()
	lists.PostFilters = []plugin.PostFilter{p}
	inCluster(t, func(c *cluster) {
		p.door = c.Door
		tainted := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "tainted"}, Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}}}}
		c.create(client.Ref{Resource: client.Nodes, Name: "tainted"}, tainted)
		c.pod("a")
		c.pod("b")
		synctest.Wait()
		c.pod("same")
		synctest.Wait()
		if got, want := c.message("same"), "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). preemption: no victims."; got != want {
			c.Errorf("message %q, want %q", got, want)
		}
		c.pod("urgent", func(p *corev1.Pod) { p.Spec.PriorityClassName = "system-cluster-critical"; p.Namespace = "default" })
		synctest.Wait()
		if on := c.get("urgent").Spec.NodeName; on != "n" || p.said != "n" { // the binding clears the nomination
			c.Errorf("on %q, nominated %q", on, p.said)
		}
		if i := slices.Index(p.asked, "tainted"); i >= 0 {
			c.Error("asked about a node where evicting cannot help")
		}
		if len(p.there["n"]) != 2 {
			c.Errorf("%d pods in the index of the node, want 2", len(p.there["n"]))
		}
		// The nomination has ended with the placement: when another pod leaves, its room is free.
		zero := int64(0)
		if err := c.Door.Delete(c.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: "b"}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			c.Fatal(err)
		}
		synctest.Wait()
		if on := c.get("same").Spec.NodeName; on != "n" {
			c.Errorf("the pod that waited is on %q", on)
		}
	}, lists)
}

// While a victim takes its time to go, its room is held for the pod that was nominated: a pod of the same priority that comes
// meanwhile does not get it, one of a higher priority does.
func TestNominatedPodHoldsItsRoom(t *testing.T) {
	for _, tt := range []struct {
		class, node, message string
	}{
		{class: "", message: "0/1 nodes are available: 1 Insufficient cpu. preemption: no victims."},
		{class: "system-cluster-critical", message: "0/1 nodes are available: 1 Insufficient cpu. preemption: no victims."},
		{class: "system-node-critical", node: "n"},
	} {
		p := &lowest{there: map[string][]*plugin.Pod{}}
		lists := scheduler.DefaultProfile()
		lists.PostFilters = []plugin.PostFilter{p}
		inCluster(t, func(c *cluster) {
			p.door, p.evicted = c.Door, make(chan struct{})
			cpu := func(n string, class string) func(*corev1.Pod) {
				return func(p *corev1.Pod) {
					p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse(n)
					p.Spec.PriorityClassName = class
				}
			}
			c.pod("there", cpu("1", ""))
			synctest.Wait()
			c.pod("urgent", cpu("2", "system-cluster-critical"))
			synctest.Wait()
			p.busy.Store(true)
			// Half of the node is free, and promised.
			c.pod("late", cpu("1", tt.class))
			synctest.Wait()
			if got, message := c.get("late").Spec.NodeName, c.message("late"); got != tt.node || message != tt.message {
				c.Errorf("the late pod of class %q is on %q: %q", tt.class, got, message)
			}
			if tt.node == "" { // the promise ends with the pod
				zero := int64(0)
				if err := c.Door.Delete(c.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: "urgent"}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
					c.Fatal(err)
				}
				synctest.Wait()
				if got := c.get("late").Spec.NodeName; got != "n" {
					c.Errorf("the late pod is on %q after the nominated pod has gone", got)
				}
				close(p.evicted)
				return
			}
			close(p.evicted)
			synctest.Wait()
			if got := c.get("urgent").Spec.NodeName; got != "" { // half of the node is taken
				c.Errorf("the nominated pod is on %q", got)
			}
		}, lists)
	}
}

// The default preemption marks its victim, lets it go with grace, and holds the room until the pod comes; an event tells.
func TestDefaultPreemption(t *testing.T) {
	inCluster(t, func(c *cluster) {
		c.pod("low", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("2") })
		synctest.Wait()
		if on := c.get("low").Spec.NodeName; on != "n" {
			c.Fatalf("the first pod is on %q: %s", on, c.message("low"))
		}
		c.pod("urgent", func(p *corev1.Pod) { p.Spec.PriorityClassName = "system-cluster-critical" })
		synctest.Wait()
		urgent, low := c.get("urgent"), c.get("low")
		if got, want := c.message("urgent"), "0/1 nodes are available: 1 Insufficient cpu. preemption: found a potential placement for pod on node n, preempting 1 victims"; got != want {
			c.Errorf("message %q, want %q", got, want)
		}
		if urgent.Status.NominatedNodeName != "n" || urgent.Spec.NodeName != "" {
			c.Errorf("nominated for %q, on %q", urgent.Status.NominatedNodeName, urgent.Spec.NodeName)
		}
		i := slices.IndexFunc(low.Status.Conditions, func(x corev1.PodCondition) bool { return x.Type == corev1.DisruptionTarget })
		if low.DeletionTimestamp == nil || i < 0 {
			c.Fatalf("the victim goes at %v, conditions %v", low.DeletionTimestamp, low.Status.Conditions)
		}
		if x := low.Status.Conditions[i]; x.Reason != "PreemptionByScheduler" || x.Message != "default-scheduler: preempting to accommodate a higher priority pod" {
			c.Errorf("%s: %s", x.Reason, x.Message)
		}
		zero := int64(0) // what the kubelet does when the containers have ended
		if err := c.Door.Delete(c.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: "low"}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			c.Fatal(err)
		}
		synctest.Wait()
		if on := c.get("urgent").Spec.NodeName; on != "n" {
			c.Errorf("the urgent pod is on %q: %s", on, c.message("urgent"))
		}
	})
}

// A pod for which several have to go is tried when the last of them has gone, and not held back for attempts in between.
func TestPreemptionOfSeveral(t *testing.T) {
	inCluster(t, func(c *cluster) {
		for _, name := range []string{"a", "b", "d", "e"} {
			c.pod(name, func(p *corev1.Pod) {
				p.Spec.TerminationGracePeriodSeconds = new(int64(0))
				p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("500m")
			})
		}
		synctest.Wait()
		began := time.Now()
		c.pod("urgent", func(p *corev1.Pod) {
			p.Spec.PriorityClassName = "system-cluster-critical"
			p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("2")
		})
		synctest.Wait() // no time passes
		if on := c.get("urgent").Spec.NodeName; on != "n" || time.Since(began) > 0 {
			c.Errorf("on %q after %v: %s", on, time.Since(began), c.message("urgent"))
		}
	})
}
