package control_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/api/all"
	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control"
	"sampan.dev/internal/control/loop"
	"sampan.dev/internal/control/nodes"
	"sampan.dev/internal/hub"
	"sampan.dev/internal/hub/store/memory"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// bench is a control plane in virtual time: the real hub on the memory store, the real controllers, and stand-ins for
// kubelets and the scheduler.
type bench struct {
	*testing.T
	hub   *hub.Hub
	door  client.Interface
	views *cache.Set
	pods  *cache.Informer[*corev1.Pod]
	nodes *cache.Informer[*corev1.Node]
	bound map[types.UID]string // of the scheduler's stand-in

	addresses int // that the kubelets' stand-in has given out

	mu struct {
		sync.Mutex
		silent  map[string]bool          // nodes whose kubelet is dead
		unready bool                     // pods that start do not become ready
		fate    func(p *corev1.Pod) fate // how pods end that run; nil: not at all
		created map[types.UID]string
	}
}

// inBubble runs body on a new bench; wrap changes the doors of the controllers.
func inBubble(t *testing.T, cfg control.Config, body func(b *bench), wrap ...func(client.Factory) client.Factory) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		log := slog.New(slog.DiscardHandler)
		if os.Getenv("VERBOSE") != "" {
			log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		h, err := hub.New(hub.Config{
			Kinds: all.Kinds(), Store: memory.New(), Log: slog.New(slog.DiscardHandler),
			Bootstrap: true, ServiceCIDR: netip.MustParsePrefix("10.96.0.0/16"), Advertise: netip.MustParseAddrPort("192.0.2.1:6443"),
			DisableAdmission: map[string]bool{"ServiceAccount": true},
		})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { _ = h.Run(ctx) })
		<-h.Ready()
		b := &bench{T: t, hub: h, bound: map[types.UID]string{}, door: h.Door(api.User{Name: "test", Groups: []string{api.GroupMasters, api.GroupAuthenticated}}, "test")}
		b.mu.silent, b.mu.created = map[string]bool{}, map[types.UID]string{}
		b.views = cache.NewSet(b.door, log)
		b.pods = cache.For[*corev1.Pod](b.views, client.Pods, cache.Options{})
		b.nodes = cache.For[*corev1.Node](b.views, client.Nodes, cache.Options{})
		b.pods.Handle(cache.Handler[*corev1.Pod]{Add: func(p *corev1.Pod) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.mu.created[p.UID] = p.Name
		}})
		b.standIns(ctx, &wg)
		wg.Go(func() { _ = b.views.Run(ctx) })
		if err := b.views.WaitSynced(ctx); err != nil {
			t.Fatal(err)
		}
		cfg.Doors, cfg.Kinds, cfg.Log = control.Declared(h.Door, func(what string) { t.Error(what) }), all.Kinds(), log
		for _, w := range wrap {
			cfg.Doors = w(cfg.Doors)
		}
		m, err := control.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := m.Run(ctx); err != nil {
				t.Errorf("manager: %v", err)
			}
		})
		body(b)
	})
}

// standIns run pods on nodes: they bind what is pending to the ready node with the fewest pods, start what is bound, and
// end what is to be deleted.
func (b *bench) standIns(ctx context.Context, wg *sync.WaitGroup) {
	queue := loop.NewQueue()
	b.pods.Handle(loop.Enqueue[*corev1.Pod](queue))
	b.nodes.Handle(cache.Handler[*corev1.Node]{
		Add:    func(*corev1.Node) { b.retryPending(queue) },
		Update: func(_, _ *corev1.Node) { b.retryPending(queue) },
	})
	c := &loop.Controller{Name: "stand-in", Workers: 1, Queue: queue, Log: slog.New(slog.DiscardHandler), Ledger: loop.NewLedger()}
	c.Synced = []<-chan struct{}{b.pods.Synced(), b.nodes.Synced()}
	c.Reconcile = func(ctx context.Context, key string) (time.Duration, error) {
		p, ok := b.pods.Get(loop.SplitKey(key))
		if !ok {
			return 0, nil
		}
		return 0, b.drive(ctx, p)
	}
	wg.Go(func() { _ = c.Run(ctx) })
}

func (b *bench) retryPending(queue *loop.Queue) {
	for _, p := range b.pods.List("") {
		if p.Spec.NodeName == "" {
			queue.Add(loop.Key(p))
		}
	}
}

func (b *bench) drive(ctx context.Context, p *corev1.Pod) error {
	if p.Spec.NodeName == "" {
		return b.bind(ctx, p)
	}
	b.mu.Lock()
	silent, unready := b.mu.silent[p.Spec.NodeName], b.mu.unready
	b.mu.Unlock()
	if _, ok := b.nodes.Get("", p.Spec.NodeName); silent || !ok {
		return nil
	}
	if p.DeletionTimestamp != nil {
		zero := int64(0)
		err := b.door.Delete(ctx, client.Ref{Resource: client.Pods, Namespace: p.Namespace, Name: p.Name}, metav1.DeleteOptions{GracePeriodSeconds: &zero})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	if p.Status.Phase == corev1.PodRunning {
		return b.end(ctx, p)
	}
	if loop.PodTerminal(p) {
		return nil
	}
	p = p.DeepCopy()
	p.Status.Phase, p.Status.StartTime = corev1.PodRunning, new(metav1.Now())
	ready := corev1.ConditionTrue
	if unready {
		ready = corev1.ConditionFalse
	}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: ready, LastTransitionTime: metav1.Now()})
	b.addresses++
	n := b.addresses
	ip := fmt.Sprintf("10.244.%d.%d", n/250, n%250+1)
	p.Status.PodIP, p.Status.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	_, err := client.UpdateStatus(ctx, b.door, client.Pods, p)
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// fate is how a pod that runs ends: after a while, with a code.
type fate struct {
	after time.Duration // 0: not at all
	code  int32
}

// succeed has a pod of the namespace default end well.
func (b *bench) succeed(name string) {
	b.Helper()
	pod, err := client.Get[*corev1.Pod](b.Context(), b.door, client.Pods, "default", name)
	if err != nil {
		b.Fatal(err)
	}
	pod = pod.DeepCopy()
	pod.Status.Phase = corev1.PodSucceeded
	if _, err := client.UpdateStatus(b.Context(), b.door, client.Pods, pod); err != nil {
		b.Fatal(err)
	}
}

// end ends a pod that runs, as is its fate.
func (b *bench) end(ctx context.Context, p *corev1.Pod) error {
	b.mu.Lock()
	of := b.mu.fate
	b.mu.Unlock()
	if of == nil || of(p).after == 0 {
		return nil
	}
	f := of(p)
	go func() {
		select {
		case <-time.After(f.after):
		case <-ctx.Done():
			return
		}
		now, err := client.Get[*corev1.Pod](ctx, b.door, client.Pods, p.Namespace, p.Name)
		if err != nil || now.UID != p.UID || loop.PodTerminal(now) || now.DeletionTimestamp != nil {
			return
		}
		now = now.DeepCopy()
		now.Status.Phase = corev1.PodSucceeded
		if f.code != 0 {
			now.Status.Phase = corev1.PodFailed
		}
		for i := range now.Status.Conditions {
			now.Status.Conditions[i].Status = corev1.ConditionFalse
		}
		now.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "c", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: f.code, FinishedAt: metav1.Now()}}}}
		_, _ = client.UpdateStatus(ctx, b.door, client.Pods, now)
	}()
	return nil
}

func (b *bench) bind(ctx context.Context, p *corev1.Pod) error {
	if p.DeletionTimestamp != nil {
		return nil
	}
	if b.nodes.Len() == 0 {
		return nil
	}
	load := map[string]int{}
	for _, other := range b.pods.List("") {
		node := other.Spec.NodeName
		if node == "" {
			node = b.bound[other.UID] // the view may lag
		}
		load[node]++
	}
	best := ""
	target := pinnedTo(p)
	for _, n := range b.nodes.List("") {
		if target == "" && (len(n.Spec.Taints) > 0 || n.Spec.Unschedulable) || target != "" && n.Name != target {
			continue
		}
		if best == "" || load[n.Name] < load[best] || load[n.Name] == load[best] && n.Name < best {
			best = n.Name
		}
	}
	if best == "" {
		return nil
	}
	b.bound[p.UID] = best
	_, err := b.door.Create(ctx, client.Ref{Resource: client.Pods, Namespace: p.Namespace, Name: p.Name, Subresource: "binding"},
		&corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: p.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: best}}, metav1.CreateOptions{})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// pinnedTo is the node that a DaemonSet's pod is made for, "" for other pods.
func pinnedTo(p *corev1.Pod) string {
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil || p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	for _, term := range p.Spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		for _, r := range term.MatchFields {
			return r.Values[0]
		}
	}
	return ""
}

// addNode makes a node with a kubelet that renews its lease every ten seconds until it falls silent.
func (b *bench) addNode(name string, labels map[string]string) {
	b.Helper()
	ctx := b.Context()
	n, err := client.Create(ctx, b.door, client.Nodes, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	if err != nil {
		b.Fatal(err)
	}
	b.postStatus(n, corev1.ConditionTrue)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-node-lease", Name: name}}
	go func() {
		for ctx.Err() == nil {
			b.mu.Lock()
			silent := b.mu.silent[name]
			b.mu.Unlock()
			if !silent {
				lease = lease.DeepCopy()
				now := metav1.NowMicro()
				lease.Spec.RenewTime = &now
				if lease.ResourceVersion == "" {
					lease, err = client.Create(ctx, b.door, client.Leases, lease)
				} else {
					lease, err = client.Update(ctx, b.door, client.Leases, lease)
				}
				if err != nil {
					return
				}
			}
			select {
			case <-time.After(10 * time.Second):
			case <-ctx.Done():
			}
		}
	}()
}

func (b *bench) postStatus(n *corev1.Node, ready corev1.ConditionStatus) {
	b.Helper()
	for {
		n = n.DeepCopy()
		now := metav1.Now()
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, LastHeartbeatTime: now, LastTransitionTime: now}}
		_, err := client.UpdateStatus(b.Context(), b.door, client.Nodes, n)
		if err == nil {
			return
		}
		if !apierrors.IsConflict(err) {
			b.Fatal(err)
		}
		if n, err = client.Get[*corev1.Node](b.Context(), b.door, client.Nodes, "", n.Name); err != nil {
			b.Fatal(err)
		}
	}
}

// lastHeard returns the time of a node's last renewal.
func (b *bench) lastHeard(node string) time.Time {
	b.Helper()
	l, err := client.Get[*coordinationv1.Lease](b.Context(), b.door, client.Leases, "kube-node-lease", node)
	if err != nil {
		b.Fatal(err)
	}
	return l.Spec.RenewTime.Time
}

func (b *bench) setSilent(silent bool, names ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range names {
		b.mu.silent[n] = silent
	}
}

// settle lets everything that is under way happen, up to d of virtual time.
func (b *bench) settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// await waits up to d of virtual time for cond.
func (b *bench) await(what string, d time.Duration, cond func() bool) {
	b.Helper()
	for end := time.Now().Add(d); !cond(); time.Sleep(d / 1000) {
		if time.Now().After(end) {
			b.Fatalf("%s: not within %v", what, d)
		}
	}
}

func (b *bench) podsOf(namespace string, filter func(*corev1.Pod) bool) []*corev1.Pod {
	var out []*corev1.Pod
	for _, p := range b.pods.List(namespace) {
		if filter == nil || filter(p) {
			out = append(out, p)
		}
	}
	return out
}

func running(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil
}

func (b *bench) createdPods() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.mu.created)
}

// events returns the events of a namespace as "reason: message", by name.
func (b *bench) events(namespace string) []string {
	b.Helper()
	l, err := client.ListAll[*corev1.Event](b.Context(), b.door, client.Events, namespace, metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	var out []string
	for _, e := range l {
		out = append(out, fmt.Sprintf("%s %s %s: %s", e.Source.Component, e.Type, e.Reason, e.Message))
	}
	slices.Sort(out)
	return out
}

func (b *bench) hasEvent(namespace, want string) {
	b.Helper()
	all := b.events(namespace)
	if !slices.ContainsFunc(all, func(e string) bool { return strings.Contains(e, want) }) {
		b.Errorf("no event %q among\n%s", want, strings.Join(all, "\n"))
	}
}

var ipam = nodes.IPAMConfig{ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}, ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}
