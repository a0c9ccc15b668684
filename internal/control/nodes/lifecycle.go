package nodes

import (
	"context"
	"sync"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// LifecycleConfig sets the times and rates of node-lifecycle. Zero values mean upstream's defaults.
type LifecycleConfig struct {
	MonitorGrace  time.Duration // 50 s: without a sign of life a node's conditions become Unknown
	StartupGrace  time.Duration // 60 s: the same for a node that never had a status
	EvictionRate  float64       // 0.1: nodes per second and zone that get NoExecute taints
	SecondaryRate float64       // 0.01: the same in a large zone that is unhealthy
	LargeCluster  int           // 50: nodes that make a zone large
	Unhealthy     float64       // 0.55: part of a zone's nodes that makes it unhealthy
}

func (c LifecycleConfig) withDefaults() LifecycleConfig {
	def := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	def(&c.MonitorGrace, 50*time.Second)
	def(&c.StartupGrace, 60*time.Second)
	if c.EvictionRate == 0 {
		c.EvictionRate = 0.1
	}
	if c.SecondaryRate == 0 {
		c.SecondaryRate = 0.01
	}
	if c.LargeCluster == 0 {
		c.LargeCluster = 50
	}
	if c.Unhealthy == 0 {
		c.Unhealthy = 0.55
	}
	return c
}

// Index of pods by the node they run on.
const nodeIndex = "node"

func byNode(pod *corev1.Pod) []string {
	if pod.Spec.NodeName == "" {
		return nil
	}
	return []string{pod.Spec.NodeName}
}

// zonesKey is the queue's key for a look at all zones. No node is called so.
const zonesKey = "*"

// lifecycle watches the health of nodes: it marks those that have fallen silent, taints them at the rate of their zone, and
// marks their pods not ready. Informers' handlers and Reconcile share what mu guards; what is known of a node in beats, known
// and unready goes with the node (forget, silence).
type lifecycle struct {
	loop.Env
	cfg    LifecycleConfig
	queue  *loop.Queue
	ledger *loop.Ledger
	nodes  *cache.Informer[*corev1.Node]
	pods   *cache.Informer[*corev1.Pod]
	leases *cache.Informer[*coordinationv1.Lease]
	view   loop.View

	mu struct {
		sync.Mutex
		beats   map[string]heartbeat // last signs of life
		known   map[string]types.UID // nodes whose registration was announced
		unready map[string]bool      // nodes whose pods are still to be marked not ready
		states  map[string]zoneState
		zones   map[string]*evictionQueue // by zone
		allDown bool                      // every zone is down, so more likely it is us: nobody is tainted
		evicted map[string]uint64         // nodes that were given their taint of eviction, by zone
	}
}

// NewLifecycle makes the node-lifecycle-controller.
func NewLifecycle(env loop.Env, cfg LifecycleConfig) loop.Runner {
	c := &lifecycle{Env: env, cfg: cfg.withDefaults(), queue: loop.NewQueue(), ledger: loop.NewLedger()}
	c.mu.beats = map[string]heartbeat{}
	c.mu.known = map[string]types.UID{}
	c.mu.unready = map[string]bool{}
	c.mu.states = map[string]zoneState{}
	c.mu.zones = map[string]*evictionQueue{}
	c.mu.evicted = map[string]uint64{}
	c.nodes = cache.For[*corev1.Node](env.Informers, client.Nodes, cache.Options{})
	c.pods = cache.For[*corev1.Pod](env.Informers, client.Pods, cache.Options{})
	c.leases = cache.For[*coordinationv1.Lease](env.Informers, client.Leases, cache.Options{Namespace: corev1.NamespaceNodeLease})
	c.pods.AddIndex(nodeIndex, byNode)
	c.view = loop.ViewOf(c.nodes)

	podQueue := loop.NewQueue()
	c.leases.Handle(cache.Handler[*coordinationv1.Lease]{
		Add: c.leaseSeen, Update: func(_, l *coordinationv1.Lease) { c.leaseSeen(l) },
		Delete: func(l *coordinationv1.Lease) {
			if _, ok := c.nodes.Get("", l.Name); !ok {
				c.silence(l.Name)
			}
		},
	})
	c.nodes.Handle(cache.Handler[*corev1.Node]{
		Add: func(n *corev1.Node) { c.appeared(n); c.nodeSeen(n); c.queue.Add(n.Name); c.queue.Add(zonesKey) },
		Update: func(old, n *corev1.Node) {
			c.nodeSeen(n)
			c.queue.Add(n.Name)
			if readiness(old) != readiness(n) || zoneOf(old) != zoneOf(n) {
				c.queue.Add(zonesKey)
			}
		},
		Delete: func(n *corev1.Node) { c.silence(n.Name); c.queue.Add(n.Name); c.queue.Add(zonesKey) },
	})
	c.pods.Handle(cache.Handler[*corev1.Pod]{
		Add: func(p *corev1.Pod) { c.podBound(podQueue, nil, p) },
		Update: func(old, p *corev1.Pod) {
			c.podBound(podQueue, old, p)
		},
	})
	synced := []<-chan struct{}{c.nodes.Synced(), c.pods.Synced(), c.leases.Synced()}
	return loop.Measured{Runner: loop.All{
		&loop.Controller{Name: env.Name, Workers: 8, Queue: c.queue, Log: env.Log, Synced: synced, Ledger: c.ledger, Reconcile: c.reconcile},
		&loop.Controller{Name: env.Name, Workers: 4, Queue: podQueue, Log: env.Log, Synced: synced, Reconcile: c.reconcilePod},
	}, Collector: (*zoneMetrics)(c)}
}

// leaseSeen notes a renewal as a sign of life. It makes nothing due: the timer that runs finds the later deadline.
func (c *lifecycle) leaseSeen(l *coordinationv1.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.mu.beats[l.Name]
	b.leased = l.ResourceVersion
	if l.Spec.RenewTime != nil && b.lease.Before(l.Spec.RenewTime) {
		b.lease, b.heard = *l.Spec.RenewTime, time.Now()
	}
	c.mu.beats[l.Name] = b
}

// nodeSeen notes a new status as a sign of life, and the creation of a node that never had one.
func (c *lifecycle) nodeSeen(n *corev1.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.mu.beats[n.Name]
	if ready := nodeCondition(n, corev1.NodeReady); ready == nil {
		if b.heard.IsZero() {
			b.heard = n.CreationTimestamp.Time
		}
	} else if b.heard.IsZero() || !ready.LastHeartbeatTime.Equal(&b.status) {
		b.status, b.heard = ready.LastHeartbeatTime, time.Now()
	}
	c.mu.beats[n.Name] = b
}

// appeared drops a sign of life from before the node was made: one of its name had a lease, and may have gone on to renew it.
func (c *lifecycle) appeared(n *corev1.Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b, ok := c.mu.beats[n.Name]; ok && b.heard.Before(n.CreationTimestamp.Time) {
		b.heard = time.Time{}
		c.mu.beats[n.Name] = b
	}
}

// podBound makes a pod due that has come to a node: it must not look ready on one that is not.
func (c *lifecycle) podBound(queue *loop.Queue, old, p *corev1.Pod) {
	if p.Spec.NodeName != "" && (old == nil || old.Spec.NodeName != p.Spec.NodeName) {
		queue.Add(loop.Key(p))
	}
}

// silence forgets the signs of life of a node that is gone, lest another of its name inherit them.
func (c *lifecycle) silence(node string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.beats, node)
}

func (c *lifecycle) beat(node string) heartbeat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.beats[node]
}

func (c *lifecycle) reconcile(ctx context.Context, key string) (time.Duration, error) {
	if key == zonesKey {
		return 0, c.reconcileZones()
	}
	node, ok := c.nodes.Get("", key)
	if !ok {
		c.forget(key)
		return 0, nil
	}
	c.announce(node)
	node, deadline, err := c.checkHealth(ctx, node)
	if err != nil || node == nil {
		return 0, err
	}
	if err := c.markPods(ctx, node); err != nil {
		return 0, err
	}
	wait, err := c.applyTaints(ctx, node)
	if err != nil {
		return 0, err
	}
	if err := c.labelNode(ctx, node); err != nil {
		return 0, err
	}
	ends, err := c.removeEnded(ctx, node)
	if err != nil {
		return 0, err
	}
	for _, left := range []time.Duration{ends, time.Until(deadline)} {
		if left > 0 && (wait == 0 || left < wait) {
			wait = left
		}
	}
	return wait, nil
}

// reconcilePod marks a pod that has come to a node which is not ready.
func (c *lifecycle) reconcilePod(ctx context.Context, key string) (time.Duration, error) {
	pod, ok := c.pods.Get(loop.SplitKey(key))
	if !ok {
		return 0, nil
	}
	node, ok := c.nodes.Get("", pod.Spec.NodeName)
	if !ok || readiness(node) == "" || readiness(node) == corev1.ConditionTrue {
		return 0, nil
	}
	return 0, c.markPod(ctx, pod)
}
