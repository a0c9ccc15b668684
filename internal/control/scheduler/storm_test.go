package scheduler_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/scheduler"
	"sampan.dev/internal/control/scheduler/replay"
	"sampan.dev/internal/testkit"
)

var (
	stormPods  = flag.Int("storm.pods", 400, "pods of TestStorm")
	stormKills = flag.Int("storm.kills", 6, "times that TestStorm kills the scheduler")
	stormSeed  = flag.Uint64("storm.seed", 1, "of TestStorm's random choices")
)

// A storm is a cluster in which nodes and pods come and go at random, and the scheduler is killed at random writes.
type storm struct {
	*cluster
	dice    *rand.Rand
	gangs   bool     // the feature GenericWorkload is on
	nodes   []string // that are there
	pods    []string // that were made and not deleted by the storm
	made    int      // nodes ever made
	seen    chan watch.Event
	events  []watch.Event
	victims struct {
		sync.Mutex
		faults []string
		count  int
	}
	death  func() // of the scheduler that runs; returns when it has ended
	deaths int
}

// errDead is what a call of a scheduler gets that has been killed.
var errDead = errors.New("the process is dead")

// doomed is the door of a scheduler that dies at a write: that write may be carried out, but its answer is lost, and nothing of what
// the scheduler wants to write afterwards comes to the hub.
type doomed struct {
	client.Interface
	left    atomic.Int64 // writes until then
	through bool         // the last one is carried out
	die     func()
}

// write carries out a write of a scheduler that lives.
func write[T any](d *doomed, do func() (T, error)) (none T, err error) {
	left := d.left.Add(-1)
	if left > 0 {
		return do()
	}
	if left == 0 {
		d.die()
		if d.through {
			_, _ = do()
		}
	}
	return none, errDead
}

func (d *doomed) Create(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.CreateOptions) (runtime.Object, error) {
	return write(d, func() (runtime.Object, error) { return d.Interface.Create(ctx, ref, obj, opts) })
}

func (d *doomed) Update(ctx context.Context, ref client.Ref, obj runtime.Object, opts metav1.UpdateOptions) (runtime.Object, error) {
	return write(d, func() (runtime.Object, error) { return d.Interface.Update(ctx, ref, obj, opts) })
}

func (d *doomed) Patch(ctx context.Context, ref client.Ref, pt types.PatchType, data []byte, opts metav1.PatchOptions) (runtime.Object, error) {
	return write(d, func() (runtime.Object, error) { return d.Interface.Patch(ctx, ref, pt, data, opts) })
}

func (d *doomed) Delete(ctx context.Context, ref client.Ref, opts metav1.DeleteOptions) error {
	_, err := write(d, func() (any, error) { return nil, d.Interface.Delete(ctx, ref, opts) })
	return err
}

// start starts a scheduler that dies after so many writes.
func (s *storm) start(writes int64) {
	ctx, cancel := context.WithCancel(s.Context)
	door := &doomed{Interface: s.Hub.Door(api.User{Name: api.UserScheduler, Groups: []string{api.GroupAuthenticated}}, "kube-scheduler"),
		through: s.dice.IntN(2) == 0, die: cancel}
	door.left.Store(writes)
	set := cache.NewSet(door, s.Log)
	one := scheduler.New(scheduler.Config{Door: door, Informers: set, Events: s, Log: s.Log, Seed: s.dice.Uint64(), Gangs: s.gangs})
	var running sync.WaitGroup
	running.Go(func() { _ = set.Run(ctx) })
	running.Go(func() { _ = one.Run(ctx) })
	s.death = func() { cancel(); running.Wait() }
}

// Event implements scheduler.Events.
func (s *storm) Event(api.Object, string, string, string, string) {}

// Related implements scheduler.Events: who is evicted must be less important than who it is for.
func (s *storm) Related(obj, other api.Object, _, _, _, note string) {
	victim, preemptor := obj.(*corev1.Pod), other.(*corev1.Pod)
	s.victims.Lock()
	defer s.victims.Unlock()
	s.victims.count++
	if *preemptor.Spec.Priority <= *victim.Spec.Priority {
		s.victims.faults = append(s.victims.faults, fmt.Sprintf("%s was evicted for %s, which is no more important: %s", victim.Name, preemptor.Name, note))
	}
}

// record keeps all writes of a resource.
func (s *storm) record(res schema.GroupVersionResource) {
	w, err := s.Door.Watch(s.Context, client.Ref{Resource: res}, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		s.Fatal(err)
	}
	s.Go(s.T, "recorder", func(context.Context) error {
		for e := range w.ResultChan() {
			s.seen <- e
		}
		return nil
	})
}

// keep is what a node's kubelet and the garbage collector do: pods that are being deleted go, and so do those of nodes that have gone.
func (s *storm) keep(ctx context.Context) error {
	nodes := map[string]bool{}
	on := map[string]map[string]bool{}
	remove := func(name string, after time.Duration) {
		s.Go(s.T, "removal", func(ctx context.Context) error {
			time.Sleep(after)
			zero := int64(0)
			_ = s.Door.Delete(ctx, client.Ref{Resource: client.Pods, Namespace: "default", Name: name}, metav1.DeleteOptions{GracePeriodSeconds: &zero})
			return nil
		})
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-s.seen:
			s.events = append(s.events, e)
			switch obj := e.Object.(type) {
			case *corev1.Node:
				if nodes[obj.Name] = e.Type != watch.Deleted; !nodes[obj.Name] {
					for name := range on[obj.Name] {
						remove(name, time.Second)
					}
				}
			case *corev1.Pod:
				at := obj.Spec.NodeName
				if at == "" {
					continue
				}
				if on[at] == nil {
					on[at] = map[string]bool{}
				}
				if e.Type == watch.Deleted {
					delete(on[at], obj.Name)
					continue
				}
				if obj.DeletionTimestamp != nil || !nodes[at] {
					remove(obj.Name, time.Second)
				}
				on[at][obj.Name] = true
			}
		}
	}
}

// addNode adds a node of the storm's size; one in three has two devices.
func (s *storm) addNode() {
	i := s.made
	s.made++
	name := fmt.Sprintf("n%04d", i)
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprint("z", i%3)}}}
	n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("12")}
	n.Status.Capacity = n.Status.Allocatable
	add(s.cluster, client.Nodes, n)
	s.patch(client.Ref{Resource: client.Nodes, Name: name}, `{"spec":{"taints":null}}`)
	if i%3 == 0 {
		add(s.cluster, client.ResourceSlices, gpus(name, "gpu-1:a", "gpu-2:b"))
	}
	s.nodes = append(s.nodes, name)
}

// removeNode has a node go that is chosen at random.
func (s *storm) removeNode() {
	i := s.dice.IntN(len(s.nodes))
	name := s.nodes[i]
	s.nodes = append(s.nodes[:i], s.nodes[i+1:]...)
	_ = s.Door.Delete(s.Context, client.Ref{Resource: client.ResourceSlices, Name: name + "-gpus"}, metav1.DeleteOptions{})
	if err := s.Door.Delete(s.Context, client.Ref{Resource: client.Nodes, Name: name}, metav1.DeleteOptions{}); err != nil {
		s.Fatal(err)
	}
}

// addPod adds a pod with requests, a priority and constraints chosen at random.
func (s *storm) addPod(i int) {
	name := fmt.Sprintf("p%05d", i)
	s.pod(name, func(p *corev1.Pod) {
		p.Labels = map[string]string{"app": fmt.Sprint("a", s.dice.IntN(4))}
		p.Spec.PriorityClassName = []string{"", "", "middle", "high"}[s.dice.IntN(4)]
		c := &p.Spec.Containers[0]
		c.Resources.Requests = corev1.ResourceList{"cpu": *resource.NewMilliQuantity(int64(1+s.dice.IntN(6))*250, resource.DecimalSI),
			"memory": *resource.NewQuantity(int64(1+s.dice.IntN(8))<<28, resource.BinarySI)}
		switch s.dice.IntN(12) {
		case 0:
			c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}}
		case 1:
			p.Spec.NodeSelector = map[string]string{corev1.LabelTopologyZone: fmt.Sprint("z", s.dice.IntN(3))}
		case 2:
			byTemplate("one")(p)
		case 3:
			p.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{MaxSkew: 5, TopologyKey: corev1.LabelTopologyZone,
				WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}}}
		case 4:
			p.Labels["alone"] = "yes"
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"alone": "yes"}}}}}}
		}
	})
	s.pods = append(s.pods, name)
}

// endPod has a pod that is chosen at random go, or end.
func (s *storm) endPod() {
	if len(s.pods) == 0 {
		return
	}
	i := s.dice.IntN(len(s.pods))
	name := s.pods[i]
	s.pods = append(s.pods[:i], s.pods[i+1:]...)
	if p, err := client.Get[*corev1.Pod](s.Context, s.Door, client.Pods, "default", name); err == nil && p.Spec.NodeName != "" && s.dice.IntN(2) == 0 {
		_, _ = s.Door.Patch(s.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: name, Subresource: "status"},
			types.MergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`), metav1.PatchOptions{})
		return
	}
	_ = s.Door.Delete(s.Context, client.Ref{Resource: client.Pods, Namespace: "default", Name: name}, metav1.DeleteOptions{})
}

// step does one thing at random.
func (s *storm) step() {
	switch k := s.dice.IntN(20); {
	case k < 2:
		s.addNode()
	case k < 4 && len(s.nodes) > 2:
		s.removeNode()
	case k < 7:
		ref := client.Ref{Resource: client.Nodes, Name: s.nodes[s.dice.IntN(len(s.nodes))]}
		s.patch(ref, []string{`{"spec":{"unschedulable":true}}`, `{"spec":{"unschedulable":null}}`,
			`{"spec":{"taints":[{"key":"storm","effect":"NoSchedule"}]}}`, `{"spec":{"taints":null}}`}[s.dice.IntN(4)])
	default:
		s.endPod()
	}
}

// judge fails the test for what should not have been written, and for pods that wait though there is room for them.
func (s *storm) judge(when string) *replay.Cluster {
	s.Helper()
	got := replay.Check(512, s.events)
	for i, f := range got.Faults {
		if i == 10 {
			s.Errorf("%s: and %d more", when, len(got.Faults)-i)
			break
		}
		s.Errorf("%s: %s", when, f)
	}
	forgotten := 0
	for _, p := range got.Waiting() {
		if room := got.Room(p); len(room) > 0 && p.Spec.TopologySpreadConstraints == nil && p.Spec.Affinity == nil {
			if forgotten++; forgotten <= 5 {
				s.Errorf("%s: %s waits, and there is room on %v: %s", when, p.Name, room, s.message(p.Name))
			}
		}
	}
	return got
}

// Whatever comes and goes, and however often the scheduler is killed between any two writes, no node is asked for more than it has at
// any instant, no pod is bound twice, none has another's devices, nobody is evicted for somebody less important, and none is forgotten.
func TestStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &storm{dice: rand.New(rand.NewPCG(*stormSeed, 7)), seen: make(chan watch.Event, 1000), cluster: &cluster{T: t, Cluster: testkit.StartWith(t,
			testkit.Options{NoScheduler: true, Controllers: []string{"serviceaccount", "resourceclaim-controller"}})}}
		s.Go(t, "keeper", s.keep)
		s.record(client.Pods)
		s.record(client.Nodes)
		s.record(client.ResourceClaims)
		s.prepare()
		for range max(6, *stormPods/12) {
			s.addNode()
		}
		every := max(1, *stormPods/(*stormKills+1))
		s.start(1 + s.dice.Int64N(int64(every)))
		for i := range *stormPods {
			s.addPod(i)
			if s.dice.IntN(3) == 0 {
				s.step()
			}
			if s.dice.IntN(8) == 0 {
				time.Sleep(time.Duration(s.dice.IntN(500)) * time.Millisecond)
			}
			if i%every == every-1 && s.deaths < *stormKills {
				s.death()
				s.deaths++
				if s.dice.IntN(2) == 0 {
					time.Sleep(15 * time.Second) // as long as another has to wait for the lease
				}
				s.start(1 + s.dice.Int64N(int64(2*every)))
			}
		}
		s.death()
		s.start(1 << 60)
		s.pass(30 * time.Second)
		full := s.judge("when all is still")
		for _, name := range s.nodes {
			s.patch(client.Ref{Resource: client.Nodes, Name: name}, `{"spec":{"taints":null,"unschedulable":null}}`)
		}
		for range 3 + len(full.Waiting()) {
			s.addNode()
		}
		s.pass(6 * time.Minute)
		end := s.judge("with room for all")
		for _, p := range end.Waiting() {
			t.Errorf("%s is forgotten: %s", p.Name, s.message(p.Name))
		}
		s.victims.Lock()
		defer s.victims.Unlock()
		for _, f := range s.victims.faults {
			t.Error(f)
		}
		t.Logf("%d writes, %d pods bound, %d evicted, %d waited for room, %d kills", len(s.events), end.Bound(), s.victims.count, len(full.Waiting()), s.deaths)
		if s.victims.count == 0 || end.Bound() < *stormPods/2 {
			t.Error("the storm was none")
		}
	})
}

// prepare makes what pods name: priorities, a claim's template, a disruption budget.
func (s *storm) prepare() {
	for name, value := range map[string]int32{"middle": 100, "high": 1000} {
		add(s.cluster, client.PriorityClasses, &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value})
	}
	add(s.cluster, client.DeviceClasses, gpuClass("gpu"))
	s.template("one", asking("gpu"))
	for _, app := range []string{"a0", "a1"} { // whose status stays: the controller counts all pods at each change
		add(s.cluster, client.PodDisruptionBudgets, &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app},
			Spec: policyv1.PodDisruptionBudgetSpec{MaxUnavailable: new(intstr.FromInt32(2)), Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}}})
		s.patch(client.Ref{Resource: client.PodDisruptionBudgets, Namespace: "default", Name: app, Subresource: "status"},
			`{"status":{"observedGeneration":1,"disruptionsAllowed":1,"currentHealthy":9,"desiredHealthy":8,"expectedPods":9}}`)
	}
}
