package nodes

import (
	"context"
	"math"
	"strconv"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ttl tells kubelets by an annotation how long they may keep secrets and config maps before they read them again: the longer
// the more nodes there are.
type ttl struct {
	loop.Env
	nodes *cache.Informer[*corev1.Node]
	mu    struct {
		sync.Mutex
		step int
	}
}

// ttlSteps overlap, so that a cluster at a border does not switch to and fro.
var ttlSteps = []struct{ min, max, seconds int }{
	{0, 100, 0}, {90, 500, 15}, {450, 1000, 30}, {900, 2000, 60}, {1800, math.MaxInt, 300},
}

// NewTTL makes the ttl-controller.
func NewTTL(env loop.Env) loop.Runner {
	c := &ttl{Env: env}
	queue := loop.NewQueue()
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	c.nodes.Handle(loop.Enqueue[*corev1.Node](queue))
	return &loop.Controller{
		Name: env.Name, Workers: 2, Queue: queue, Log: env.Log,
		Synced: []<-chan struct{}{c.nodes.Synced()}, Reconcile: c.reconcile,
	}
}

func (c *ttl) reconcile(ctx context.Context, name string) (time.Duration, error) {
	c.mu.Lock()
	c.mu.step = ttlStep(c.mu.step, c.nodes.Len())
	want := strconv.Itoa(ttlSteps[c.mu.step].seconds)
	c.mu.Unlock()
	node, ok := c.nodes.Get("", name)
	if !ok || node.Annotations[corev1.ObjectTTLAnnotationKey] == want {
		return 0, nil
	}
	_, err := changeNode(ctx, c.Door, node, asSeen, func(n *corev1.Node) { // the account may not get nodes
		metav1.SetMetaDataAnnotation(&n.ObjectMeta, corev1.ObjectTTLAnnotationKey, want)
	})
	return 0, err
}

// ttlStep moves from a step to the one for n nodes.
func ttlStep(step, n int) int {
	for n > ttlSteps[step].max {
		step++
	}
	for n < ttlSteps[step].min {
		step--
	}
	return step
}
