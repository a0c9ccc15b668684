//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// kills is how often the cluster's process is killed.
const kills = 20

var (
	pods        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	nodes       = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
)

// TestCrash kills the cluster's process in the middle of rolling updates. Every acknowledged write must be there
// afterwards, no container that was not to be replaced may have been touched, and the last rollout must end.
func TestCrash(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.kubectlIn(t, crashManifest, "apply", "-f", "-")
	c.kubectl(t, "-n", "crash", "rollout", "status", "deployment/bystander", "--timeout=300s")
	c.kubectl(t, "-n", "crash", "rollout", "status", "deployment/rolling", "--timeout=300s")
	config, door := c.door(t)
	before := bystanders(t, door)
	if len(before) != 5 {
		t.Fatalf("%d bystanders", len(before))
	}
	processes := processesOf(t, before)
	ready := nodeReady(t, door)

	w := newWriter(door)
	writing, stop := context.WithCancel(t.Context())
	written := make(chan struct{})
	go func() { defer close(written); w.run(writing) }()
	defer func() { stop(); <-written }()

	var answers, readies []time.Duration
	for round := range kills {
		midway(t, door, round)
		c.kill(t)
		begun := time.Now()
		answer := answering(t, config, begun)
		c.up(t)
		readies = append(readies, time.Since(begun))
		answers = append(answers, <-answer)
		w.verify(t, round)
		if now := bystanders(t, door); !maps.Equal(now, before) {
			t.Errorf("round %d: the bystanders were %v and are %v", round, before, now)
		}
	}
	c.kubectl(t, "-n", "crash", "rollout", "status", "deployment/rolling", "--timeout=300s")
	stop()
	<-written
	w.verify(t, kills)
	if now := bystanders(t, door); !maps.Equal(now, before) {
		t.Errorf("the bystanders were %v and are %v", before, now)
	}
	if now := processesOf(t, before); !slices.Equal(now, processes) {
		t.Errorf("the bystanders' processes were %v and are %v", processes, now)
	}
	rolling := podsOf(t, door, "rolling")
	for _, pod := range rolling {
		if got := pod.Spec.Containers[0].Env[0].Value; got != strconv.Itoa(kills-1) || pod.Status.ContainerStatuses[0].RestartCount != 0 {
			t.Errorf("%s is of round %s, restarted %d times", pod.Name, got, pod.Status.ContainerStatuses[0].RestartCount)
		}
	}
	if len(rolling) != 4 {
		t.Errorf("%d rolling pods", len(rolling))
	}
	if now := nodeReady(t, door); now != ready {
		t.Errorf("the node's Ready condition was %v and is %v: the restarts made it NotReady", ready, now)
	}
	t.Logf("%d acknowledged writes, %d that nobody answered", w.acknowledged(), w.unknown)
	t.Logf("from start to /readyz: %s", summary(answers))
	t.Logf("from start to node Ready: %s", summary(readies))
}

// crashManifest has the pods that must not be touched, and a Deployment whose rollout takes a few seconds.
const crashManifest = `
apiVersion: v1
kind: Namespace
metadata: {name: crash}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: bystander, namespace: crash}
spec:
  replicas: 5
  selector: {matchLabels: {app: bystander}}
  template:
    metadata: {labels: {app: bystander}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: sampan.dev/busybox:1
        command: [sh, -c, 'trap : TERM; sleep 100000 & wait']
        readinessProbe: {exec: {command: [test, -d, /tmp]}, periodSeconds: 1}
        livenessProbe: {exec: {command: [test, -d, /tmp]}, periodSeconds: 1}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: rolling, namespace: crash}
spec:
  replicas: 4
  selector: {matchLabels: {app: rolling}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 1}}
  template:
    metadata: {labels: {app: rolling}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: sampan.dev/busybox:1
        command: [sh, -c, 'trap "exit 0" TERM; sleep 100000 & wait']
        env: [{name: ROUND, value: none}]
        readinessProbe: {exec: {command: [test, -d, /tmp]}, initialDelaySeconds: 1, periodSeconds: 1}
`

// door is a client for any kind, and the configuration it was made of. What was stored is whole: a warning that says otherwise
// fails the test.
func (c *cluster) door(t *testing.T) (*rest.Config, dynamic.Interface) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	config.Timeout = 20 * time.Second
	config.WarningHandler = warned{t}
	door, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return config, door
}

// warned fails a test when objects are missing from an answer.
type warned struct{ t *testing.T }

func (w warned) HandleWarningHeader(_ int, _, text string) {
	if strings.Contains(text, "cannot be read") {
		w.t.Error(text)
	}
}

// midway changes the template of the rolling Deployment and returns at a moment of its rollout, another one each round:
// as soon as the change is acknowledged, when the controller has seen it, when pods of the new kind exist, are ready.
func midway(t *testing.T, door dynamic.Interface, round int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience*time.Minute)
	defer cancel()
	patch := fmt.Sprintf(`{"spec":{"template":{"spec":{"containers":[{"name":"main","env":[{"name":"ROUND","value":"%d"}]}]}}}}`, round)
	changed, err := door.Resource(deployments).Namespace("crash").Patch(ctx, "rolling", "application/strategic-merge-patch+json", []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if round%5 == 0 {
		return
	}
	generation := changed.GetGeneration()
	w, err := door.Resource(deployments).Namespace("crash").Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", "rolling").String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		u, ok := e.Object.(*unstructured.Unstructured)
		if !ok {
			t.Fatalf("watch: %v", e.Object)
		}
		number := func(name string) int64 {
			n, _, _ := unstructured.NestedInt64(u.Object, "status", name)
			return n
		}
		switch {
		case number("observedGeneration") < generation:
		case round%5 == 1, number("updatedReplicas") >= int64(round%5):
			return
		}
	}
	t.Fatal("the rollout does not get on")
}

// answering tells how long after begun the API server says that it is ready. It asks all the while, as a load balancer
// would: a server that is not there yet has no other way to tell.
func answering(t *testing.T, config *rest.Config, begun time.Time) <-chan time.Duration {
	t.Helper()
	out := make(chan time.Duration, 1)
	transport, err := rest.TransportFor(rest.AnonymousClientConfig(config))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for time.Since(begun) < time.Minute {
			if r, err := client.Get(config.Host + "/readyz"); err == nil {
				r.Body.Close()
				if r.StatusCode == http.StatusOK {
					break
				}
			}
			<-tick.C
		}
		out <- time.Since(begun)
	}()
	return out
}

// bystander is what must stay as it is while the cluster's process comes and goes.
type bystander struct {
	uid, address, container string
	started                 metav1.Time
	restarts                int32
}

func bystanders(t *testing.T, door dynamic.Interface) map[string]bystander {
	t.Helper()
	out := map[string]bystander{}
	for _, pod := range podsOf(t, door, "bystander") {
		b := bystander{uid: string(pod.UID), address: pod.Status.PodIP}
		for _, s := range pod.Status.ContainerStatuses {
			b.container, b.restarts = s.ContainerID, s.RestartCount
			if s.State.Running != nil {
				b.started = metav1.Time{Time: s.State.Running.StartedAt.UTC()}
			}
			if !s.Ready {
				t.Errorf("%s is not ready", pod.Name)
			}
		}
		out[pod.Name] = b
	}
	return out
}

// podsOf are the pods of a Deployment that are not being deleted.
func podsOf(t *testing.T, door dynamic.Interface, app string) []corev1.Pod {
	t.Helper()
	list, err := door.Resource(pods).Namespace("crash").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		t.Fatal(err)
	}
	var out []corev1.Pod
	for _, item := range list.Items {
		var pod corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &pod); err != nil {
			t.Fatal(err)
		}
		if pod.DeletionTimestamp == nil {
			out = append(out, pod)
		}
	}
	return out
}

// processesOf are the numbers of the processes that live in the pods' control groups, but for those of probes that run
// just now: what the kernel says, whatever the API says.
func processesOf(t *testing.T, of map[string]bystander) []int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		groups, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cgroup"))
		args, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		for _, b := range of {
			if strings.Contains(string(groups), "pod"+b.uid) && (strings.Contains(string(args), "sleep") || strings.Contains(string(args), "pause")) {
				out = append(out, pid)
			}
		}
	}
	if len(out) != 3*len(of) { // the sandbox's, the shell, its child
		t.Errorf("%d processes of %d pods", len(out), len(of))
	}
	slices.Sort(out)
	return out
}

// nodeReady is the node's Ready condition without its heartbeat: it changes whenever the node was anything else meanwhile.
func nodeReady(t *testing.T, door dynamic.Interface) corev1.NodeCondition {
	t.Helper()
	list, err := door.Resource(nodes).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("%d nodes, %v", len(list.Items), err)
	}
	var node corev1.Node
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[0].Object, &node); err != nil {
		t.Fatal(err)
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return corev1.NodeCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, LastTransitionTime: metav1.Time{Time: c.LastTransitionTime.UTC()}}
		}
	}
	t.Fatal("the node has no Ready condition")
	return corev1.NodeCondition{}
}

func summary(times []time.Duration) string {
	sorted := slices.Sorted(slices.Values(times))
	round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("least %v, median %v, most %v", round(sorted[0]), round(sorted[len(sorted)/2]), round(sorted[len(sorted)-1]))
}
