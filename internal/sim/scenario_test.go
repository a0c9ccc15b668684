package sim_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/sim"
	"sampan.dev/internal/testkit"
)

// Fifty of a hundred nodes die at the same moment. Each is one of two in its zone, so that no zone counts as unhealthy and
// the rate limit of one node per ten seconds, which is per zone, holds nobody up (NC07 of spec/system.md). Their
// conditions become Unknown 50 s later, their pods are evicted 300 s after that, and the scheduler puts the replacements on
// the nodes that live: real hub, controllers and scheduler, no machine, no waiting.
func TestFiftyNodesDie(t *testing.T) {
	const (
		zones    = 50
		replicas = 100
		grace    = 50 * time.Second
		patience = 300 * time.Second
	)
	began := time.Now()
	synctest.Test(t, func(t *testing.T) {
		c := testkit.Start(t)
		var kill []context.CancelFunc
		doomed := map[string]bool{}
		for i := range 2 * zones {
			name := fmt.Sprintf("node-%03d", i)
			ctx, stop := context.WithCancel(c.Context)
			n := &sim.Node{
				Name: name, Labels: map[string]string{corev1.LabelTopologyZone: fmt.Sprintf("zone-%02d", i/2)},
				Door: c.Hub.Door(api.Node(name), "kubelet"), Log: c.Log,
			}
			c.Go(t, name, func(context.Context) error { return n.Run(ctx) })
			if i%2 == 1 {
				doomed[name] = true
				kill = append(kill, stop)
			} else {
				defer stop()
			}
		}
		time.Sleep(15 * time.Second) // every node has beaten and lost its not-ready taint

		create(t, c, replicas)
		pods := follow(t, c)
		awaitRunning(t, pods, replicas, nil, time.Minute)
		if n := onNodes(pods, doomed); n < replicas/4 {
			t.Fatalf("only %d of %d pods are on the nodes that will die; the test would show little", n, replicas)
		}

		for _, stop := range kill {
			stop()
		}
		died := time.Now()
		nodes := cache.New[*corev1.Node](c.Door, client.Nodes, cache.Options{}, c.Log)
		c.Go(t, "nodes", nodes.Run)
		unknown := awaitAll(t, died, 2*time.Minute, func() bool { return countUnknown(nodes) == zones })
		if unknown < grace-10*time.Second || unknown > grace+6*time.Second {
			t.Errorf("nodes were Unknown %v after their last beats, want about %v", unknown, grace)
		}
		gone := awaitAll(t, died, 10*time.Minute, func() bool { return marked(pods, doomed) == 0 })
		if gone < unknown+patience-time.Second || gone > unknown+patience+3*time.Second {
			t.Errorf("pods were evicted %v after the nodes died, want %v after they were Unknown (%v)", gone, patience, unknown)
		}
		awaitRunning(t, pods, replicas, doomed, time.Minute)
		t.Logf("virtual time: Unknown after %v, evicted after %v, all replaced after %v", unknown, gone, time.Since(died).Round(time.Second))
	})
	t.Logf("real time: %v", time.Since(began).Round(time.Millisecond))
}

func create(t *testing.T, c *testkit.Cluster, replicas int32) {
	t.Helper()
	labels := map[string]string{"app": "web"}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
	d.Spec.Replicas = &replicas
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
	d.Spec.Template.Labels = labels
	d.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Image: "app"}}
	if _, err := client.Create(c.Context, c.Door, client.Deployments, d); err != nil {
		t.Fatal(err)
	}
}

func follow(t *testing.T, c *testkit.Cluster) *cache.Informer[*corev1.Pod] {
	pods := cache.New[*corev1.Pod](c.Door, client.Pods, cache.Options{}, c.Log)
	c.Go(t, "pods", pods.Run)
	<-pods.Synced()
	return pods
}

// awaitRunning waits until want pods run outside the given nodes and are not being deleted.
func awaitRunning(t *testing.T, pods *cache.Informer[*corev1.Pod], want int, except map[string]bool, limit time.Duration) {
	t.Helper()
	awaitAll(t, time.Now(), limit, func() bool {
		n := 0
		for _, p := range pods.List("default") {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil && !except[p.Spec.NodeName] {
				n++
			}
		}
		return n == want
	})
}

// awaitAll waits until cond and returns how long after from that was.
func awaitAll(t *testing.T, from time.Time, limit time.Duration, cond func() bool) time.Duration {
	t.Helper()
	for end := time.Now().Add(limit); !cond(); time.Sleep(500 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v", limit)
		}
		synctest.Wait()
	}
	return time.Since(from)
}

func onNodes(pods *cache.Informer[*corev1.Pod], nodes map[string]bool) int {
	n := 0
	for _, p := range pods.List("default") {
		if nodes[p.Spec.NodeName] {
			n++
		}
	}
	return n
}

// marked counts the pods on the nodes that nobody has evicted yet. Their kubelets are dead, so evicted ones stay, marked.
func marked(pods *cache.Informer[*corev1.Pod], nodes map[string]bool) int {
	n := 0
	for _, p := range pods.List("default") {
		if nodes[p.Spec.NodeName] && p.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

func countUnknown(nodes *cache.Informer[*corev1.Node]) int {
	n := 0
	for _, node := range nodes.List("") {
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown {
				n++
			}
		}
	}
	return n
}
