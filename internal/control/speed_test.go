package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/store/etcd"
	"sampan.dev/internal/testkit"
)

// The benchmarks run a real control plane on an embedded etcd with fsync, without a network. Run them once each:
//
//	go test ./internal/control -run '^$' -bench Speed -benchtime 1x -cpuprofile cpu.out
//
// SPEED_NODES, SPEED_PODS change their size.
func speed(b *testing.B, opts testkit.Options) *testkit.Cluster {
	b.Helper()
	dir := b.TempDir()
	st, err := etcd.Embedded(context.Background(), etcd.EmbeddedConfig{Dir: dir, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = st.Close() })
	opts.Store = st
	c := testkit.StartWith(b, opts)
	waitFor(b, "service account", func() bool {
		_, err := client.Get[*corev1.ServiceAccount](c.Context, c.Door, client.ServiceAccounts, "default", "default")
		return err == nil
	})
	return c
}

// profiled writes a CPU profile of what is timed to the file that SPEED_CPU names.
func profiled(b *testing.B) func() {
	name := os.Getenv("SPEED_CPU")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err != nil {
		b.Fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		b.Fatal(err)
	}
	return func() { pprof.StopCPUProfile(); f.Close() }
}

func size(env string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(env)); err == nil {
		return n
	}
	return otherwise
}

func waitFor(b testing.TB, what string, ok func() bool) {
	b.Helper()
	for end := time.Now().Add(5 * time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("%s: waited in vain", what)
		}
	}
}

// together calls f n times, 64 at a time.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range 64 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

func hollow(b testing.TB, c *testkit.Cluster, n int) {
	b.Helper()
	q := resource.MustParse
	together(n, func(i int) {
		name := fmt.Sprintf("fake-%05d", i)
		room := corev1.ResourceList{"cpu": q("32"), "memory": q("256Gi"), "pods": q("110"), "ephemeral-storage": q("500Gi")}
		// A node without the groups of a kubelet keeps the taint that admission puts on it; one that is made by an
		// administrator may lose it again at once.
		obj, err := client.Create(c.Context, c.Door, client.Nodes, &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("z%d", i%3), corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
			}},
			Status: corev1.NodeStatus{Capacity: room, Allocatable: room, Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}},
		})
		if err == nil && len(obj.Spec.Taints) > 0 {
			_, err = client.MergePatch(c.Context, c.Door, client.Ref{Resource: client.Nodes, Name: name}, map[string]any{"spec": map[string]any{"taints": nil}})
		}
		if err != nil {
			b.Error(err)
		}
	})
}

func smallPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": "bench"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "c", Image: "registry.k8s.io/pause:3.10",
			Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("100Mi")}},
		}}},
	}
}

var noNodeControllers = []string{"*", "-node-lifecycle-controller", "-taint-eviction-controller", "-node-ipam-controller", "-pod-garbage-collector-controller", "-ttl-controller"}

func BenchmarkSpeedSchedule(b *testing.B) { schedule(b, func(*corev1.Pod) {}) }

func BenchmarkSpeedScheduleAffinity(b *testing.B) {
	schedule(b, func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
			NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
				{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"z0", "z1"}},
			}}},
		}}}
	})
}

func schedule(b *testing.B, change func(*corev1.Pod)) {
	nodes, pods := size("SPEED_NODES", 5000), size("SPEED_PODS", 10000)
	for range b.N {
		b.StopTimer()
		c := speed(b, testkit.Options{Controllers: noNodeControllers, NoScheduler: true})
		hollow(b, c, nodes)
		began := time.Now()
		together(pods, func(i int) {
			p := smallPod(fmt.Sprintf("p%05d", i))
			change(p)
			if _, err := client.Create(c.Context, c.Door, client.Pods, p); err != nil {
				b.Error(err)
			}
		})
		b.ReportMetric(float64(pods)/time.Since(began).Seconds(), "created/s")
		wait := count(b, c, pods, func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
		b.StartTimer()
		began = time.Now()
		stop := profiled(b)
		c.StartScheduler(b)
		end := wait()
		b.StopTimer()
		stop()
		b.ReportMetric(float64(pods)/end.Sub(began).Seconds(), "bound/s")
	}
}

// count follows the pods of the default namespace and tells when so many have been seen to be as ok says.
func count(b *testing.B, c *testkit.Cluster, want int, ok func(*corev1.Pod) bool) func() time.Time {
	b.Helper()
	w, err := c.Door.Watch(c.Context, client.Ref{Resource: client.Pods, Namespace: "default"}, metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan time.Time, 1)
	go func() {
		seen := map[string]bool{}
		for ev := range w.ResultChan() {
			if p, is := ev.Object.(*corev1.Pod); is && ev.Type != watch.Deleted && ok(p) {
				if seen[p.Name] = true; len(seen) == want {
					done <- time.Now()
					return
				}
			}
		}
	}()
	return func() time.Time {
		defer w.Stop()
		select {
		case at := <-done:
			return at
		case <-time.After(5 * time.Minute):
			b.Fatal("waited in vain")
			return time.Time{}
		}
	}
}

func BenchmarkSpeedScale(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				c := speed(b, testkit.Options{})
				wait := count(b, c, n, func(*corev1.Pod) bool { return true })
				tmpl := smallPod("")
				tmpl.Spec.NodeSelector = map[string]string{"bench": "never"}
				zero, labels := int32(0), map[string]string{"app": "d"}
				d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "d"}, Spec: appsv1.DeploymentSpec{
					Replicas: &zero, Selector: &metav1.LabelSelector{MatchLabels: labels},
					Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: tmpl.Spec},
				}}
				if _, err := client.Create(c.Context, c.Door, client.Deployments, d); err != nil {
					b.Fatal(err)
				}
				time.Sleep(500 * time.Millisecond)
				b.StartTimer()
				began := time.Now()
				stop := profiled(b)
				if _, err := client.MergePatch(c.Context, c.Door, client.Ref{Resource: client.Deployments, Namespace: "default", Name: "d"},
					map[string]any{"spec": map[string]any{"replicas": n}}); err != nil {
					b.Fatal(err)
				}
				end := wait()
				b.StopTimer()
				stop()
				b.ReportMetric(end.Sub(began).Seconds(), "exist_s")
			}
		})
	}
}

func BenchmarkSpeedNamespace(b *testing.B) {
	const n = 2000
	for range b.N {
		b.StopTimer()
		c := speed(b, testkit.Options{})
		if _, err := client.Create(c.Context, c.Door, client.Namespaces, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "doomed"}}); err != nil {
			b.Fatal(err)
		}
		began := time.Now()
		together(n, func(i int) {
			if _, err := client.Create(c.Context, c.Door, client.ConfigMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "doomed", Name: fmt.Sprintf("c%d", i)}, Data: map[string]string{"a": "b"}}); err != nil {
				b.Error(err)
			}
		})
		b.ReportMetric(n/time.Since(began).Seconds(), "created/s")
		time.Sleep(time.Second)
		b.StartTimer()
		began = time.Now()
		if err := client.Delete(c.Context, c.Door, client.Namespaces, "", "doomed", ""); err != nil {
			b.Fatal(err)
		}
		waitFor(b, "end of the namespace", func() bool {
			_, err := client.Get[*corev1.Namespace](c.Context, c.Door, client.Namespaces, "", "doomed")
			return apierrors.IsNotFound(err)
		})
		b.StopTimer()
		b.ReportMetric(time.Since(began).Seconds(), "gone_s")
	}
}

// How long after the last of many pods has become ready its service's slices show all of them.
func BenchmarkSpeedEndpoints(b *testing.B) {
	n := size("SPEED_PODS", 5000)
	for range b.N {
		b.StopTimer()
		c := speed(b, testkit.Options{Controllers: noNodeControllers, NoScheduler: true})
		hollow(b, c, 10)
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "bench"}, Ports: []corev1.ServicePort{{Port: 80}},
		}}
		if _, err := client.Create(c.Context, c.Door, client.Services, svc); err != nil {
			b.Fatal(err)
		}
		w, err := c.Door.Watch(c.Context, client.Ref{Resource: client.EndpointSlices, Namespace: "default"}, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
		if err != nil {
			b.Fatal(err)
		}
		done, writes := make(chan time.Time, 1), 0
		go func() {
			ready := map[string]int{}
			for ev := range w.ResultChan() {
				s, ok := ev.Object.(*discoveryv1.EndpointSlice)
				if !ok {
					continue
				}
				writes++
				ready[s.Name] = 0
				for _, e := range s.Endpoints {
					if e.Conditions.Ready != nil && *e.Conditions.Ready {
						ready[s.Name]++
					}
				}
				all := 0
				for _, k := range ready {
					all += k
				}
				if all == n {
					done <- time.Now()
					return
				}
			}
		}()
		stop := profiled(b)
		b.StartTimer()
		together(n, func(i int) {
			p := smallPod(fmt.Sprintf("p%05d", i))
			p.Spec.NodeName = fmt.Sprintf("fake-%05d", i%10)
			p, err := client.Create(c.Context, c.Door, client.Pods, p)
			if err == nil {
				p = p.DeepCopy()
				ip := fmt.Sprintf("10.%d.%d.%d", 1+i>>16, i>>8&255, i&255)
				p.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}}
				_, err = client.UpdateStatus(c.Context, c.Door, client.Pods, p)
			}
			if err != nil {
				b.Error(err)
			}
		})
		began := time.Now()
		end := <-done
		b.StopTimer()
		stop()
		w.Stop()
		b.ReportMetric(end.Sub(began).Seconds(), "behind_s")
		b.ReportMetric(float64(writes), "slice_writes")
	}
}

// Pods are made and placed at the same time, with every controller running.
func BenchmarkSpeedCreateAndSchedule(b *testing.B) {
	nodes, pods := size("SPEED_NODES", 5000), size("SPEED_PODS", 10000)
	for range b.N {
		b.StopTimer()
		c := speed(b, testkit.Options{})
		hollow(b, c, nodes)
		time.Sleep(5 * time.Second)
		wait := count(b, c, pods, func(p *corev1.Pod) bool { return p.Spec.NodeName != "" })
		stop := profiled(b)
		b.StartTimer()
		began := time.Now()
		together(pods, func(i int) {
			if _, err := client.Create(c.Context, c.Door, client.Pods, smallPod(fmt.Sprintf("p%05d", i))); err != nil {
				b.Error(err)
			}
		})
		end := wait()
		b.StopTimer()
		stop()
		b.ReportMetric(float64(pods)/end.Sub(began).Seconds(), "bound/s")
	}
}
