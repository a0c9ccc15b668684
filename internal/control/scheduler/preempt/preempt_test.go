package preempt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/control/scheduler/plugin"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// pod has a priority and asks for CPUs; it started so many minutes after the others began.
func pod(name string, priority int32, cpu string, minutes int, change ...func(*corev1.Pod)) *plugin.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name), Labels: map[string]string{"app": name}}}
	p.Spec.Priority = &priority
	p.Spec.Containers = []corev1.Container{{}}
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse(cpu)}
	p.Status.StartTime = &metav1.Time{Time: start.Add(time.Duration(minutes) * time.Minute)}
	for _, f := range change {
		f(p)
	}
	return plugin.NewPod(p)
}

func node(name, cpu string) *plugin.Node {
	obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	obj.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse(cpu), "pods": resource.MustParse("10")}
	return plugin.NewNode(name).With(obj)
}

// cluster is nodes with pods, and the plugin that has been told of them.
type cluster struct {
	p       *DefaultPreemption
	nodes   []*plugin.Node
	there   map[types.UID]*plugin.Pod
	budgets []*policyv1.PodDisruptionBudget
}

func newCluster() *cluster {
	c := &cluster{p: New(Defaults()), there: map[types.UID]*plugin.Pod{}}
	c.p.Lookup(func(uid types.UID) *plugin.Pod { return c.there[uid] })
	c.p.Connect(Hands{Budgets: func() []*policyv1.PodDisruptionBudget { return c.budgets }})
	return c
}

func (c *cluster) add(n *plugin.Node, pods ...*plugin.Pod) {
	c.p.Node(plugin.NewNode(n.Name), n)
	for _, pod := range pods {
		n = n.WithPod(pod)
		c.there[pod.UID] = pod
		c.p.Pod(pod, n, +1)
	}
	c.nodes = append(c.nodes, n)
}

// try looks for room for a pod by its resources alone.
func (c *cluster) try(preemptor *plugin.Pod) plugin.Nomination {
	return c.p.PostFilter(preemptor, c.nodes, func(n *plugin.Node, victims []*plugin.Pod) plugin.Verdict {
		for _, v := range victims {
			n = n.WithoutPod(v)
		}
		return plugin.Fit{}.Filter(preemptor, n)
	})
}

func budget1(app string, allowed int32) *policyv1.PodDisruptionBudget {
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app}}
	b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
	b.Status.DisruptionsAllowed = allowed
	return b
}

func TestWhoGoes(t *testing.T) {
	never := corev1.PreemptNever
	for _, tt := range []struct {
		name    string
		there   func(c *cluster)
		pod     *plugin.Pod
		node    string
		victims string
		message string
	}{
		{
			name:  "the least important that suffice",
			there: func(c *cluster) { c.add(node("n", "4"), pod("a", 1, "1", 0), pod("b", 2, "1", 0), pod("c", 3, "2", 0)) },
			pod:   pod("p", 10, "2", 0), node: "n", victims: "b a",
		},
		{
			name:  "one large instead of two, when it is less important",
			there: func(c *cluster) { c.add(node("n", "4"), pod("a", 3, "1", 0), pod("b", 2, "1", 0), pod("c", 1, "2", 0)) },
			pod:   pod("p", 10, "2", 0), node: "n", victims: "c",
		},
		{
			name:  "of equals the one that started last",
			there: func(c *cluster) { c.add(node("n", "2"), pod("old", 0, "1", 0), pod("new", 0, "1", 5)) },
			pod:   pod("p", 10, "1", 0), node: "n", victims: "new",
		},
		{
			name: "no budget is violated where it can be helped",
			there: func(c *cluster) {
				c.budgets = append(c.budgets, budget1("a", 0))
				c.add(node("n", "2"), pod("a", 0, "1", 5), pod("b", 1, "1", 0))
			},
			pod: pod("p", 10, "1", 0), node: "n", victims: "b",
		},
		{
			name: "a budget is violated when nothing else helps",
			there: func(c *cluster) {
				c.budgets = append(c.budgets, budget1("a", 0))
				c.add(node("n", "1"), pod("a", 0, "1", 5))
			},
			pod: pod("p", 10, "1", 0), node: "n", victims: "a",
		},
		{
			name: "the node that violates no budget comes before the less important victim",
			there: func(c *cluster) {
				c.budgets = append(c.budgets, budget1("a", 0))
				c.add(node("n", "1"), pod("a", 0, "1", 0))
				c.add(node("m", "1"), pod("b", 5, "1", 0))
			},
			pod: pod("p", 10, "1", 0), node: "m", victims: "b",
		},
		{
			name: "the node whose most important victim is least",
			there: func(c *cluster) {
				c.add(node("n", "1"), pod("a", 5, "1", 0))
				c.add(node("m", "1"), pod("b", 4, "500m", 0), pod("c", 4, "500m", 0))
			},
			pod: pod("p", 10, "1", 0), node: "m", victims: "b c",
		},
		{
			name: "the node with the smaller sum",
			there: func(c *cluster) {
				c.add(node("n", "1"), pod("a", 5, "500m", 0), pod("b", 4, "500m", 0))
				c.add(node("m", "1"), pod("c", 5, "500m", 0), pod("d", 3, "500m", 0))
			},
			pod: pod("p", 10, "1", 0), node: "m", victims: "c d",
		},
		{
			name: "the node whose victims have run for the shortest time",
			there: func(c *cluster) {
				c.add(node("n", "1"), pod("a", 5, "1", 1))
				c.add(node("m", "1"), pod("b", 5, "1", 9))
			},
			pod: pod("p", 10, "1", 0), node: "m", victims: "b",
		},
		{
			name:    "no pod of lower priority",
			there:   func(c *cluster) { c.add(node("n", "1"), pod("a", 10, "1", 0)) },
			pod:     pod("p", 10, "1", 0),
			message: "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
		},
		{
			name: "it would not help",
			there: func(c *cluster) {
				c.add(node("n", "2"), pod("a", 20, "1", 0), pod("b", 1, "1", 0))
				c.add(node("m", "2"), pod("c", 20, "2", 0))
				c.p.Node(plugin.NewNode("tainted"), node("tainted", "4"))
			},
			pod:     pod("p", 10, "2", 0),
			message: "preemption: 0/3 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.",
		},
		{
			name:    "the pod may not",
			there:   func(c *cluster) { c.add(node("n", "1"), pod("a", 0, "1", 0)) },
			pod:     pod("p", 10, "1", 0, func(p *corev1.Pod) { p.Spec.PreemptionPolicy = &never }),
			message: "preemption: not eligible due to preemptionPolicy=Never.",
		},
		{
			name: "its victim is still on the way out",
			there: func(c *cluster) {
				c.add(node("n", "1"), pod("a", 0, "1", 0, func(p *corev1.Pod) {
					p.DeletionTimestamp = &metav1.Time{Time: start}
					p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: corev1.PodReasonPreemptionByScheduler}}
				}))
			},
			pod:     pod("p", 10, "1", 0, func(p *corev1.Pod) { p.Status.NominatedNodeName = "n" }),
			message: "preemption: not eligible due to a terminating pod on the nominated node.",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster()
			tt.there(c)
			var mu sync.Mutex
			var gone []string
			c.p.hands.Evict = func(_ context.Context, victim, _ *corev1.Pod, node string) error {
				mu.Lock()
				defer mu.Unlock()
				gone = append(gone, victim.Name)
				return nil
			}
			got := c.try(tt.pod)
			want := strings.Fields(tt.victims)
			if tt.node != "" {
				tt.message = fmt.Sprintf("preemption: found a potential placement for pod on node %s, preempting %d victims", tt.node, len(want))
			}
			if got.Node != tt.node || got.Message != tt.message {
				t.Fatalf("on %q: %q, want %q: %q", got.Node, got.Message, tt.node, tt.message)
			}
			if got.Evict == nil {
				return
			}
			if again := c.try(tt.pod); !strings.Contains(again.Message, "waiting for the preemption for this pod to be finished") {
				t.Errorf("while victims are being evicted: %q", again.Message)
			}
			if err := got.Evict(t.Context()); err != nil {
				t.Fatal(err)
			}
			slices.Sort(want)
			slices.Sort(gone)
			if !slices.Equal(gone, want) {
				t.Errorf("%v were evicted, want %v", gone, want)
			}
		})
	}
}

// What is known of each priority together is the sum of its pods, whatever came and went.
func TestLevelsAreSums(t *testing.T) {
	c := newCluster()
	a, b, d := pod("a", 5, "1", 0), pod("b", 5, "2", 0), pod("d", -3, "500m", 0)
	c.add(node("n", "8"), a, b, d)
	s := c.p.nodes["n"]
	if len(s.levels) != 2 || s.levels[0].priority != -3 || s.levels[1].sum.MilliCPU != 3000 {
		t.Fatalf("%+v", s.levels)
	}
	c.p.Pod(a, c.nodes[0].WithoutPod(a), -1)
	c.p.Pod(d, c.nodes[0].WithoutPod(d), -1)
	if len(s.levels) != 1 || s.levels[0].sum.MilliCPU != 2000 || len(s.pods) != 1 || c.p.anyBelow(5) {
		t.Fatalf("%+v, %d pods", s.levels, len(s.pods))
	}
	c.p.Pod(b, c.nodes[0].WithoutPod(b), -1)
	if len(c.p.nodes) != 0 || len(c.p.all) != 0 {
		t.Fatalf("%d nodes with pods, %v", len(c.p.nodes), c.p.all)
	}
}

// Of many nodes alike not all are compared, and those whose victims matter least are.
func TestManyNodes(t *testing.T) {
	c := newCluster()
	for i := range 1000 {
		low := int32(5)
		if i == 700 {
			low = 1
		}
		c.add(node(fmt.Sprint(i), "1"), pod(fmt.Sprint("v", i), low, "1", 0))
	}
	tried := 0
	preemptor := pod("p", 10, "1", 0)
	got := c.p.PostFilter(preemptor, c.nodes, func(n *plugin.Node, victims []*plugin.Pod) plugin.Verdict {
		tried++
		for _, v := range victims {
			n = n.WithoutPod(v)
		}
		return plugin.Fit{}.Filter(preemptor, n)
	})
	if got.Node != "700" || tried > 250 {
		t.Errorf("on %s after %d tries", got.Node, tried)
	}
}
