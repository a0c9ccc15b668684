//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// otherMachine is another machine to a cluster: a network namespace with a link to this one.
type otherMachine struct {
	netns      string
	here, addr string // addresses of the two ends
}

func newOtherMachine(t *testing.T) otherMachine {
	t.Helper()
	if _, err := exec.LookPath("nsenter"); err != nil {
		t.Skip("nsenter is not installed")
	}
	name := fmt.Sprintf("sampan-e2e-%d", made.Add(1))
	sum := sha256.Sum256([]byte(t.TempDir()))                                              // differs for each test of each process
	end := func(n byte) string { return fmt.Sprintf("198.18.%d.%d", sum[0], sum[1]&^3+n) } // of a /30 for measurements (RFC 2544)
	m := otherMachine{netns: fmt.Sprintf("%s-%x", name, sum[:3]), here: end(1), addr: end(2)}
	near, far := fmt.Sprintf("e2ea%x", sum[:4]), fmt.Sprintf("e2eb%x", sum[:4])
	run(t, "ip", "netns", "add", m.netns)
	t.Cleanup(func() { run(t, "ip", "netns", "del", m.netns) })
	run(t, "ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", m.netns)
	run(t, "ip", "addr", "add", m.here+"/30", "dev", near)
	run(t, "ip", "link", "set", near, "up")
	for _, args := range []string{"addr add " + m.addr + "/30 dev " + far, "link set " + far + " up", "link set lo up", "route add default via " + m.here} {
		run(t, "ip", append([]string{"-n", m.netns}, strings.Fields(args)...)...)
	}
	return m
}

// joined is a control plane and an agent on another machine.
func joined(t *testing.T) (server, node *cluster, door dynamic.Interface) {
	t.Helper()
	m := newOtherMachine(t)
	server = newCluster(t, "--no-node", "--tls-san", m.here)
	server.up(t)
	printed, err := server.sampan("token", "--data-dir", server.dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	node = newCluster(t)
	node.netns = m.netns
	join := strings.Fields(strings.ReplaceAll(printed, "ADDRESS", m.here))[1:]
	if i := slices.Index(join, "--server"); i >= 0 {
		join[i+1] = "https://" + m.here + ":" + server.port
	}
	join = append(join, "--data-dir", node.dir, "--hostname-override", "joined", "--node-ip", m.addr)
	node.agent(t, append(join, server.flags[5:9]...))
	until(t, 60*time.Second, "node joined", func() error {
		_, err := exec.Command(filepath.Join(server.bin, "kubectl"), "--kubeconfig", server.kubeconfig, "get", "node", "joined").CombinedOutput()
		return err
	})
	server.kubectl(t, "wait", "node/joined", "--for=condition=Ready", "--timeout=300s")
	node.images(t)
	_, door = server.door(t)
	return server, node, door
}

// sleeper is a pod that is bound to the agent's node already.
func sleeper(name string) *corev1.Pod {
	grace := int64(1)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "sleeper"}},
		Spec: corev1.PodSpec{NodeName: "joined", TerminationGracePeriodSeconds: &grace, Containers: []corev1.Container{{
			Name: "main", Image: "sampan.dev/busybox:1", Command: []string{"sleep", "100000"},
		}}},
	}
}

// TestAgentAcrossRestarts ends the server ten times over, by a kill and in order in turn. An agent on another machine must run
// every pod that is bound to it afterwards, and a client that follows by client-go's RetryWatcher must see every new object.
func TestAgentAcrossRestarts(t *testing.T) {
	t.Parallel()
	const rounds = 10
	server, _, door := joined(t)
	seen := followMaps(t, door)
	var took []time.Duration
	for round := range rounds {
		if round%2 == 0 {
			server.kill(t)
		} else {
			server.down(t)
		}
		server.up(t)
		ready := time.Now()
		name := fmt.Sprint("round-", round)
		put(t, door, configMaps, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}})
		put(t, door, pods, sleeper(name))
		until(t, 2*time.Minute, "the pod of round "+fmt.Sprint(round), func() error { return podReady(t.Context(), door, name) })
		took = append(took, time.Since(ready))
	}
	t.Logf("from the server's readiness until the pod that was bound then is ready: %s; in turn %v", summary(took), took)
	for round := range rounds {
		name := fmt.Sprint("round-", round)
		until(t, time.Minute, "the watcher has seen "+name, func() error {
			if !seen(name) {
				return errors.New("not seen")
			}
			return nil
		})
		pod, err := podNamed(t.Context(), door, name)
		if err != nil || pod.Status.ContainerStatuses[0].RestartCount != 0 {
			t.Errorf("%s: %v, %+v", name, err, pod.Status.ContainerStatuses)
		}
	}
}

var (
	services       = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	endpointSlices = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
)

// put creates an object in the default namespace.
func put(t *testing.T, door dynamic.Interface, res schema.GroupVersionResource, obj any) {
	t.Helper()
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err == nil {
		_, err = door.Resource(res).Namespace("default").Create(t.Context(), &unstructured.Unstructured{Object: u}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func podNamed(ctx context.Context, door dynamic.Interface, name string) (*corev1.Pod, error) {
	u, err := door.Resource(pods).Namespace("default").Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	return pod, runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, pod)
}

func podReady(ctx context.Context, door dynamic.Interface, name string) error {
	pod, err := podNamed(ctx, door, name)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }) {
		return fmt.Errorf("%s: %+v", pod.Status.Phase, pod.Status.Conditions)
	}
	return nil
}

// followMaps follows config maps as users of RetryWatcher do: it ends with a 410 when it cannot be resumed, and they list again.
// An end without one fails the test.
func followMaps(t *testing.T, door dynamic.Interface) (seen func(name string) bool) {
	t.Helper()
	var mu sync.Mutex
	names := map[string]bool{}
	note := func(o *unstructured.Unstructured) {
		mu.Lock()
		defer mu.Unlock()
		names[o.GetName()] = true
	}
	maps := door.Resource(configMaps).Namespace("default")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			list, err := maps.List(ctx, metav1.ListOptions{})
			if err != nil {
				select { // the server is away
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
				continue
			}
			for i := range list.Items {
				note(&list.Items[i])
			}
			w, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), &cache.ListWatch{
				WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) { return maps.Watch(ctx, o) },
			})
			if err != nil {
				t.Errorf("watch from %q: %v", list.GetResourceVersion(), err)
				return
			}
			var end error
			for ev := range w.ResultChan() {
				if o, ok := ev.Object.(*unstructured.Unstructured); ok && ev.Type == watch.Added {
					note(o)
				}
				if ev.Type == watch.Error {
					end = apierrors.FromObject(ev.Object)
				}
			}
			if ctx.Err() == nil && !apierrors.IsResourceExpired(end) && !apierrors.IsGone(end) {
				t.Errorf("the watch ended with %v", end)
			}
		}
	}()
	return func(name string) bool {
		mu.Lock()
		defer mu.Unlock()
		return names[name]
	}
}

// TestPausedAgent stops an agent for longer than a node may be silent. When it goes on its pods are ready again, and in their
// Service, without a restart of anything.
func TestPausedAgent(t *testing.T) {
	t.Parallel() // it waits most of the time
	const pause = 75 * time.Second
	_, node, door := joined(t)
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "sleeper"}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "sleeper"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}},
	}}
	put(t, door, services, svc)
	for i := range 3 {
		put(t, door, pods, sleeper(fmt.Sprint("s", i)))
	}
	inService := func(want int) error {
		list, err := door.Resource(endpointSlices).Namespace("default").List(t.Context(), metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=sleeper"})
		if err != nil {
			return err
		}
		n := 0
		for _, item := range list.Items {
			var s discoveryv1.EndpointSlice
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &s); err != nil {
				return err
			}
			for _, e := range s.Endpoints {
				if e.Conditions.Ready != nil && *e.Conditions.Ready {
					n++
				}
			}
		}
		if n != want {
			return fmt.Errorf("%d endpoints are ready, want %d", n, want)
		}
		return nil
	}
	until(t, time.Minute, "pods in their service", func() error { return inService(3) })

	begun := time.Now()
	if err := node.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, 2*time.Minute, "pods out of their service", func() error { return inService(0) })
	t.Logf("out of their service after %v of silence", time.Since(begun).Round(time.Second))
	time.Sleep(time.Until(begun.Add(pause))) // the length of the pause is what is tried
	if err := node.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	until(t, 2*time.Minute, "pods in their service again", func() error { return inService(3) })
	t.Logf("in their service again %v after the agent went on", time.Since(back).Round(time.Millisecond))
	for i := range 3 {
		if err := podReady(t.Context(), door, fmt.Sprint("s", i)); err != nil {
			t.Error(err)
		}
	}
}
