package control_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/store"
	"sampan.dev/internal/hub/store/memory"
	"sampan.dev/internal/testkit"
)

// What pods cost is counted, not timed: counts are the same on a busy machine. The bounds leave a third of room above what
// is measured; they are there to catch a walk over all pods, another copy or another write.

// counted is a store that counts writes by what they are about.
type counted struct {
	store.Store
	pods, events, others atomic.Int64
}

func (c *counted) count(key string) {
	switch {
	case strings.HasPrefix(key, "/registry/pods/"):
		c.pods.Add(1)
	case strings.HasPrefix(key, "/registry/events/"):
		c.events.Add(1)
	default:
		c.others.Add(1)
	}
}

func (c *counted) Create(ctx context.Context, key string, value []byte, ttl int64) (int64, error) {
	c.count(key)
	return c.Store.Create(ctx, key, value, ttl)
}

func (c *counted) Update(ctx context.Context, key string, value []byte, expect, ttl int64) (int64, error) {
	c.count(key)
	return c.Store.Update(ctx, key, value, expect, ttl)
}

func (c *counted) Delete(ctx context.Context, key string, expect int64) (int64, error) {
	c.count(key)
	return c.Store.Delete(ctx, key, expect)
}

// quiet is a hub with nothing beside it but the maker of service accounts.
func quiet(t testing.TB) (*testkit.Cluster, *counted) {
	st := &counted{Store: memory.New()}
	c := testkit.StartWith(t, testkit.Options{Store: st, Controllers: []string{"serviceaccount-controller"}, NoScheduler: true})
	waitFor(t, "service account", func() bool {
		_, err := client.Get[*corev1.ServiceAccount](c.Context, c.Door, client.ServiceAccounts, "default", "default")
		return err == nil
	})
	return c, st
}

// mallocs counts the allocations of the whole process while f runs, to each of n.
func mallocs(n int, f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(n)
}

func TestCostOfCreateAndBinding(t *testing.T) {
	c, st := quiet(t)
	const n = 300
	controller := c.Hub.Door(api.ServiceAccount("kube-system", "replicaset-controller", ""), "kube-controller-manager/v1 x")
	scheduler := c.Hub.Door(api.User{Name: api.UserScheduler, Groups: []string{api.GroupAuthenticated}}, "kube-scheduler")
	if _, err := client.Create(c.Context, c.Door, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", Labels: map[string]string{corev1.LabelTopologyZone: "z"}}}); err != nil {
		t.Fatal(err)
	}
	var pods []*corev1.Pod
	create := func(n int) {
		pods = pods[:0]
		for range n {
			p := smallPod("")
			p.GenerateName = "web-"
			p, err := client.Create(c.Context, controller, client.Pods, p)
			if err != nil {
				t.Fatal(err)
			}
			pods = append(pods, p)
		}
	}
	bind := func() {
		for _, p := range pods {
			_, err := scheduler.Create(c.Context, client.Ref{Resource: client.Pods, Namespace: p.Namespace, Name: p.Name, Subresource: "binding"},
				&corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name, UID: p.UID}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	create(10) // the first ones build what is built once
	bind()
	created := mallocs(n, func() { create(n) })
	before := st.pods.Load()
	bound := mallocs(n, bind)
	t.Logf("%.0f allocations to create a pod, %.0f to bind it", created, bound)
	if raceEnabled {
		return // its runtime allocates on its own account
	}
	if created > 400 {
		t.Errorf("%.0f allocations to create a pod", created)
	}
	if bound > 90 {
		t.Errorf("%.0f allocations to bind a pod", bound)
	}
	if writes := st.pods.Load() - before; writes != n {
		t.Errorf("%d writes to bind %d pods", writes, n)
	}
}

// A pod that is placed costs one write and one event. One that fits nowhere costs the same, however often it is tried for
// the same reason. Neither costs anything else.
func TestWritesOfScheduling(t *testing.T) {
	c, st := quiet(t)
	const n = 200
	hollow(t, c, 20)
	make := func(prefix string, change func(*corev1.Pod)) {
		for i := range n {
			p := smallPod(fmt.Sprint(prefix, i))
			change(p)
			if _, err := client.Create(c.Context, c.Door, client.Pods, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	make("fits", func(*corev1.Pod) {})
	make("never", func(p *corev1.Pod) { p.Spec.NodeSelector = map[string]string{"no": "where"} })
	pods, events, others := st.pods.Load(), st.events.Load(), st.others.Load()
	c.StartScheduler(t)
	waitFor(t, "events", func() bool { return st.events.Load()-events >= 2*n })
	waitFor(t, "writes", func() bool { return st.pods.Load()-pods >= 2*n })
	time.Sleep(50 * time.Millisecond) // for what should not come
	if p, e, o := st.pods.Load()-pods, st.events.Load()-events, st.others.Load()-others; p != 2*n || e != 2*n || o > 0 {
		t.Errorf("%d writes of pods, %d of events, %d of other things for %d pods that fit and %d that do not", p, e, o, n, n)
	}
}

// To schedule a pod costs the same on a large cluster as on a small one, the binding and the news of it included.
func TestCostOfSchedulingDoesNotGrow(t *testing.T) {
	if raceEnabled {
		t.Skip("its runtime allocates on its own account")
	}
	cost := func(nodes, pods int) float64 {
		c, st := quiet(t)
		hollow(t, c, nodes)
		together(pods, func(i int) {
			if _, err := client.Create(c.Context, c.Door, client.Pods, smallPod(fmt.Sprint("p", i))); err != nil {
				t.Error(err)
			}
		})
		before := st.pods.Load()
		return mallocs(pods, func() {
			c.StartScheduler(t)
			waitFor(t, "bindings", func() bool { return st.pods.Load()-before >= int64(pods) })
		})
	}
	small, large := cost(50, 500), cost(500, 3000)
	t.Logf("%.0f allocations on 50 nodes, %.0f on 500", small, large)
	// What is done a moment later (events, the informer's news) is counted or not, as it happens; hence the room.
	if small > 250 || large > 250 {
		t.Errorf("%.0f allocations per pod on 500 nodes, %.0f on 50", large, small)
	}
}
