package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/control/scheduler/plugin"
	"sampan.dev/internal/testkit"
)

// steps is a plugin that takes part in the steps after the choice of a node, writes down what it was asked, and fails as
// often as it is told to.
type steps struct {
	name string

	mu    sync.Mutex
	calls []string
	fail  map[string]int // step -> how often it still fails
	hold  time.Duration  // Permit: how long each pod waits, until there are quorum of them
	least int
	held  []types.UID
}

func (p *steps) Name() string                          { return p.name }
func (p *steps) Events() plugin.Event                  { return plugin.PodPlaced }
func (p *steps) Helps(*plugin.Pod, plugin.Change) bool { return true }

func (p *steps) step(step string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, strings.TrimSpace(p.name+" "+step))
	if p.fail[step] > 0 {
		p.fail[step]--
		return errors.New(step + " fails")
	}
	return nil
}

func (p *steps) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.calls, ", ")
}

func (p *steps) Reserve(*plugin.Pod, *plugin.Node) error            { return p.step("reserve") }
func (p *steps) Unreserve(*plugin.Pod, string)                      { _ = p.step("unreserve") }
func (p *steps) PreBind(context.Context, *plugin.Pod, string) error { return p.step("prebind") }

func (p *steps) PreFilter(pod *plugin.Pod) plugin.Verdict {
	if pod.Labels["wants"] == "data" {
		return plugin.Unresolvable(`persistentvolumeclaim "data" not found`)
	}
	return plugin.Verdict{}
}

func (p *steps) Permit(pod *plugin.Pod, _ *plugin.Node) plugin.Permission {
	if err := p.step("permit"); err != nil {
		return plugin.Permission{Verdict: plugin.Unschedulable(err.Error())}
	}
	if p.hold == 0 {
		return plugin.Permission{}
	}
	if p.held = append(p.held, pod.UID); len(p.held) < p.least {
		return plugin.Permission{Wait: p.hold}
	}
	release := p.held
	p.held = nil
	return plugin.Permission{Release: release}
}

// with is the default profile with a plugin in every step that it takes part in.
func with(name string, plugins ...*steps) scheduler.Profile {
	lists := scheduler.DefaultProfile()
	lists.Name = name
	for _, p := range plugins {
		lists.PreFilters = append(lists.PreFilters, p)
		lists.Reserves = append(lists.Reserves, p)
		lists.Permits = append(lists.Permits, p)
		lists.PreBinds = append(lists.PreBinds, p)
	}
	return lists
}

// inCluster runs body in virtual time on a cluster of one node with two CPUs whose scheduler has these profiles.
func inCluster(t *testing.T, body func(c *cluster), profiles ...scheduler.Profile) {
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{T: t, Cluster: testkit.StartWith(t, testkit.Options{NoScheduler: true, Controllers: []string{"serviceaccount"}})}
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
		n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("10")}
		n.Status.Capacity = n.Status.Allocatable
		c.create(client.Ref{Resource: client.Nodes, Name: "n"}, n)
		untaint := client.Ref{Resource: client.Nodes, Name: "n"} // which admission has tainted as not ready
		if _, err := c.Door.Patch(c.Context, untaint, types.MergePatchType, []byte(`{"spec":{"taints":null}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		c.StartScheduler(t, profiles...)
		synctest.Wait()
		body(c)
	})
}

type cluster struct {
	*testing.T
	*testkit.Cluster
}

func (c *cluster) create(ref client.Ref, obj api.Object) {
	c.Helper()
	if _, err := c.Door.Create(c.Context, ref, obj, metav1.CreateOptions{}); err != nil {
		c.Fatal(err)
	}
}

func (c *cluster) pod(name string, change ...func(*corev1.Pod)) {
	c.Helper()
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	p.Spec.Containers = []corev1.Container{{Name: "main", Image: "app"}}
	p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{"cpu": resource.MustParse("1")}
	for _, f := range change {
		f(p)
	}
	c.create(client.Ref{Resource: client.Pods, Namespace: "default", Name: name}, p)
}

func (c *cluster) get(name string) *corev1.Pod {
	c.Helper()
	obj, err := c.Door.Get(c.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: name}, metav1.GetOptions{})
	if err != nil {
		c.Fatal(err)
	}
	return obj.(*corev1.Pod)
}

// message is what the pod's condition says of why it has no node, "" when it has one.
func (c *cluster) message(name string) string {
	c.Helper()
	p := c.get(name)
	for _, cond := range p.Status.Conditions {
		if cond.Type == corev1.PodScheduled && cond.Status == corev1.ConditionFalse {
			return cond.Message
		}
	}
	if p.Spec.NodeName == "" {
		return "waiting"
	}
	return ""
}

// Whatever step fails, everything is unreserved, the room is free again, and the next attempt places the pod.
func TestStepsAreTakenBack(t *testing.T) {
	const taken = "b unreserve, a unreserve"
	const through = "a reserve, b reserve, a permit, b permit, a prebind, b prebind"
	for _, tt := range []struct{ name, plugin, step, first string }{
		{"first reserve", "a", "reserve", "a reserve, " + taken},
		{"second reserve", "b", "reserve", "a reserve, b reserve, " + taken},
		{"first prebind", "a", "prebind", "a reserve, b reserve, a permit, b permit, a prebind, " + taken},
		{"second prebind", "b", "prebind", through + ", " + taken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log := &steps{}
			a, b := &shared{steps: log, as: "a"}, &shared{steps: log, as: "b"}
			log.fail = map[string]int{tt.plugin + " " + tt.step: 1}
			lists := scheduler.DefaultProfile()
			lists.Reserves = []plugin.Reserve{a, b}
			lists.Permits = []plugin.Permit{a, b}
			lists.PreBinds = []plugin.PreBind{a, b}
			inCluster(t, func(c *cluster) {
				c.pod("p", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Requests["cpu"] = resource.MustParse("2") })
				synctest.Wait()
				if got := log.log(); got != tt.first {
					c.Fatalf("steps\n  %s\nwant\n  %s", got, tt.first)
				}
				if c.get("p").Spec.NodeName != "" {
					c.Fatal("bound in spite of the error")
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if got := log.log(); got != tt.first+", "+through {
					c.Fatalf("steps\n  %s\nwant\n  %s, %s", got, tt.first, through)
				}
				if c.get("p").Spec.NodeName != "n" {
					c.Fatal("not bound by the second attempt: its room was not given back")
				}
			}, lists)
		})
	}
}

// shared is one of several plugins that write into one log.
type shared struct {
	*steps
	as string
}

func (p *shared) Name() string                            { return p.as }
func (p *shared) Reserve(*plugin.Pod, *plugin.Node) error { return p.step(p.as + " reserve") }
func (p *shared) Unreserve(*plugin.Pod, string)           { _ = p.step(p.as + " unreserve") }
func (p *shared) PreBind(context.Context, *plugin.Pod, string) error {
	return p.step(p.as + " prebind")
}
func (p *shared) Permit(*plugin.Pod, *plugin.Node) plugin.Permission {
	_ = p.step(p.as + " permit")
	return plugin.Permission{}
}

// A binding that the hub refuses is taken back like a step that fails.
func TestRefusedBindingIsUnreserved(t *testing.T) {
	p := &steps{name: "a"}
	other := &steal{steps: p}
	lists := scheduler.DefaultProfile()
	lists.Reserves, lists.PreBinds = []plugin.Reserve{p}, []plugin.PreBind{other}
	inCluster(t, func(c *cluster) {
		other.c = c
		c.pod("p")
		synctest.Wait()
		if got, want := p.log(), "a reserve, a unreserve"; got != want {
			c.Errorf("steps %s, want %s", got, want)
		}
		if node := c.get("p").Spec.NodeName; node != "elsewhere" {
			c.Errorf("on %q", node)
		}
	}, lists)
}

// steal binds the pod to another node before the scheduler does.
type steal struct {
	*steps
	c *cluster
}

func (p *steal) PreBind(ctx context.Context, pod *plugin.Pod, _ string) error {
	ref := client.Ref{Resource: client.Pods, Namespace: pod.Namespace, Name: pod.Name, Subresource: "binding"}
	_, err := p.c.Door.Create(ctx, ref, &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "elsewhere"},
	}, metav1.CreateOptions{})
	return err
}

// A pod that a plugin holds back keeps its room, goes on when it is released, and loses the room when nobody releases it.
func TestPermitHoldsBack(t *testing.T) {
	p := &steps{name: "gang", hold: time.Minute, least: 2}
	inCluster(t, func(c *cluster) {
		c.pod("a")
		synctest.Wait()
		if got := p.log(); got != "gang reserve, gang permit" {
			c.Fatalf("steps %s", got)
		}
		c.pod("b")
		synctest.Wait()
		for _, name := range []string{"a", "b"} {
			if c.get(name).Spec.NodeName != "n" {
				c.Errorf("%s was not let go", name)
			}
		}
	}, with("", p))

	late := &steps{name: "gang", hold: time.Minute, least: 2}
	inCluster(t, func(c *cluster) {
		c.pod("a")
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if got := c.message("a"); got != "waiting" {
			c.Fatalf("after 59 s: %q", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got, want := c.message("a"), "rejected due to timeout after waiting at plugin gang"; got != want {
			c.Errorf("after 61 s: %q, want %q", got, want)
		}
		if got, want := late.log(), "gang reserve, gang permit, gang unreserve"; got != want {
			c.Errorf("steps %s, want %s", got, want)
		}
	}, with("", late))

	gone := &steps{name: "gang", hold: time.Minute, least: 3}
	inCluster(t, func(c *cluster) {
		c.pod("a")
		synctest.Wait()
		zero := int64(0)
		if err := c.Door.Delete(c.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: "a"}, metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
			c.Fatal(err)
		}
		synctest.Wait()
		if got, want := gone.log(), "gang reserve, gang permit, gang unreserve"; got != want {
			c.Errorf("steps of a pod that was deleted while it was held: %s, want %s", got, want)
		}
	}, with("", gone))
}

// A pod that a Permit rejects waits for an event of that plugin, and not for what it brought about itself.
func TestPermitRejects(t *testing.T) {
	p := &steps{name: "gang", fail: map[string]int{"permit": 1}}
	inCluster(t, func(c *cluster) {
		c.pod("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := c.message("a"); got != "permit fails" {
			c.Fatalf("message %q", got)
		}
		if got, want := p.log(), "gang reserve, gang permit, gang unreserve"; got != want {
			c.Fatalf("steps %s, want %s", got, want)
		}
		c.pod("b") // PodPlaced
		synctest.Wait()
		if c.get("a").Spec.NodeName != "n" {
			c.Error("not tried again when another pod was placed")
		}
	}, with("", p))
}

// A pod may be rejected as a whole, whatever nodes there are.
func TestPreFilterRejects(t *testing.T) {
	p := &steps{name: "volumes"}
	inCluster(t, func(c *cluster) {
		c.pod("p", func(p *corev1.Pod) { p.Labels = map[string]string{"wants": "data"} })
		synctest.Wait()
		if got, want := c.message("p"), `0/1 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.`; got != want {
			c.Errorf("message %q, want %q", got, want)
		}
	}, with("", p))
}

// Each pod is placed by the profile of its schedulerName; the pods of other schedulers are left alone.
func TestProfiles(t *testing.T) {
	first, second := &steps{name: "first"}, &steps{name: "second"}
	inCluster(t, func(c *cluster) {
		c.pod("a")
		synctest.Wait()
		c.pod("b", func(p *corev1.Pod) { p.Spec.SchedulerName = "second" })
		c.pod("c", func(p *corev1.Pod) { p.Spec.SchedulerName = "nobody" })
		synctest.Wait()
		if got := c.get("a").Spec.NodeName + c.get("b").Spec.NodeName; got != "nn" {
			c.Errorf("on %q", got)
		}
		if got := c.message("c"); got != "waiting" {
			c.Errorf("the pod of another scheduler: %q", got)
		}
		for _, p := range []*steps{first, second} {
			if got := p.log(); got != fmt.Sprintf("%[1]s reserve, %[1]s permit, %[1]s prebind", p.name) {
				c.Errorf("steps %s", got)
			}
		}
	}, with("", first), with("second", second))
}
