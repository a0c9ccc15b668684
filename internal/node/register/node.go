package register

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/node/health"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// startIn is how long the runtime and its network may take to come up beside a kubelet that has just started.
const startIn = 10 * time.Second

// Node is this machine as the cluster knows it.
//
// Its goroutine (loop) computes the status every StatusEvery and whenever somebody changes the node, and writes it when the hub has
// something else or ReportEvery has passed. Every goroutine may ask IPs, Capacity, Allocatable, InHub and Current.
type Node struct {
	cfg      Config
	known    *cache.Informer[*corev1.Node] // nil without a hub
	began    time.Time
	capacity corev1.ResourceList // machines do not grow under a kubelet
	info     func() corev1.NodeSystemInfo
	declared []string      // the features of declare.go
	ips      atomic.Value  // []string, primary first
	moved    chan struct{} // the host's addresses may have changed

	// The loop's own.
	kick     chan struct{} // somebody has changed the node
	cidr     string        // the pod range that the runtime was told of
	reported time.Time
	failures time.Duration // the wait after the next failure
}

// New describes the node; nothing is read from the hub or written before Run. It refuses to reserve more than the machine has.
func New(cfg Config) (*Node, error) {
	n := &Node{cfg: cfg, began: time.Now(), capacity: cfg.Resources.capacity(), moved: make(chan struct{}, 1), kick: make(chan struct{}, 1), declared: declared(cfg.Version)}
	n.info = sync.OnceValue(func() corev1.NodeSystemInfo { return systemInfo(cfg.Version, cfg.MachineID) })
	n.ips.Store([]string(nil))
	if cfg.Hub != nil {
		n.known = cache.New[*corev1.Node](cfg.Hub, client.Nodes, cache.Options{FieldSelector: "metadata.name=" + cfg.Name}, cfg.Log)
	}
	return n, cfg.Resources.check(n.capacity)
}

// Locate finds the node's addresses.
func (n *Node) Locate() { n.ips.Store(findIPs(n.cfg.IPs)) }

// IPs are the node's addresses, the primary one first. They are frozen.
func (n *Node) IPs() []string { return n.ips.Load().([]string) }

// Capacity is what the machine has. The list is frozen.
func (n *Node) Capacity() corev1.ResourceList { return n.capacity }

// Swap is how much of memory can be swapped out, in bytes.
func (n *Node) Swap() int64 {
	if s := n.info().Swap; s != nil {
		return *s.Capacity
	}
	return 0
}

// Allocatable is what pods may use in sum.
func (n *Node) Allocatable() corev1.ResourceList { return n.cfg.Resources.allocatable(n.capacity) }

// Reserved is what is kept from pods in sum.
func (n *Node) Reserved() corev1.ResourceList {
	out, _ := n.cfg.Resources.reserved(n.capacity) // New has seen errors
	return out
}

// Look makes the node's status be looked at: what devices there are may have changed.
func (n *Node) Look() {
	select {
	case n.kick <- struct{}{}:
	default:
	}
}

// InHub is the node as the hub has it. The object is frozen.
func (n *Node) InHub() (*corev1.Node, bool) {
	if n.known == nil {
		return nil, false
	}
	return n.known.Get("", n.cfg.Name)
}

// Handle registers a handler of the node's changes; it needs a hub.
func (n *Node) Handle(h cache.Handler[*corev1.Node]) { n.known.Handle(h) }

// Current is the node as last seen in the hub, or as it would be registered. The object is frozen.
func (n *Node) Current() *corev1.Node {
	if is, ok := n.InHub(); ok && len(is.Status.Allocatable) > 0 {
		return is
	}
	is := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.cfg.Name, Labels: map[string]string{corev1.LabelOSStable: "linux", corev1.LabelHostname: n.cfg.Hostname}}}
	maps.Copy(is.Labels, n.cfg.Labels)
	is.Status.Allocatable = n.Allocatable()
	return is
}

// HostChanged makes the node look again at the host's addresses.
func (n *Node) HostChanged() {
	select {
	case n.moved <- struct{}{}:
	default:
	}
}

// Run registers the node and keeps it until ctx ends. It needs a hub.
func (n *Node) Run(ctx context.Context) {
	var loops sync.WaitGroup
	defer loops.Wait()
	loops.Go(func() { n.known.Run(ctx) })
	heart := &lease{hub: n.cfg.Hub, node: n.cfg.Name, duration: n.cfg.LeaseDuration, owner: n.InHub, begin: n.cfg.Renewal, log: n.cfg.Log}
	loops.Go(func() { heart.run(ctx) })
	n.loop(ctx)
}

// loop registers the node and keeps its status and its own labels as they should be.
func (n *Node) loop(ctx context.Context) {
	var made *corev1.Node // by this run
	if n.cfg.Create {
		var ok bool
		if made, ok = n.register(ctx); !ok {
			return
		}
	}
	n.cfg.Events.Node(corev1.EventTypeNormal, "Starting", "Starting kubelet.")
	if made != nil { // Ready is told when it changes
		n.tell(changes(nil, slices.DeleteFunc(slices.Clone(made.Status.Conditions), func(c corev1.NodeCondition) bool { return c.Type == corev1.NodeReady }))...)
	}
	n.watch()
	n.failures = 100 * time.Millisecond
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.kick:
		case <-n.moved:
			if !n.follow() {
				continue
			}
		case <-t.C:
		}
		t.Reset(n.turn(ctx))
	}
}

// watch has the loop look when somebody changes what it writes, and tells of cordons.
func (n *Node) watch() {
	n.known.Handle(cache.Handler[*corev1.Node]{
		Add: func(*corev1.Node) { n.Look() },
		Update: func(old, now *corev1.Node) {
			if now.Spec.PodCIDR != old.Spec.PodCIDR || now.UID != old.UID || !maps.Equal(now.Labels, old.Labels) || statusDiffers(&old.Status, &now.Status) {
				n.Look()
			}
			switch {
			case now.Spec.Unschedulable == old.Spec.Unschedulable:
			case now.Spec.Unschedulable:
				n.tell("NodeNotSchedulable")
			default:
				n.tell("NodeSchedulable")
			}
		},
	})
}

// follow takes over addresses that have changed and reports whether any has.
func (n *Node) follow() bool {
	was, now := n.IPs(), routedIPs(n.cfg.IPs)
	if !moved(was, now) {
		return false
	}
	n.cfg.Log.Info("the node has another address", "addresses", now, "were", was)
	n.ips.Store(now)
	n.cfg.AddressChanged()
	return true
}

// turn brings the node in the hub up to date and returns how long the next turn may wait.
func (n *Node) turn(ctx context.Context) time.Duration {
	early, err := n.update(ctx)
	if early {
		return 50 * time.Millisecond
	}
	wait := n.cfg.StatusEvery
	if err != nil && ctx.Err() == nil {
		n.cfg.Log.Debug("node status not reported", "error", err)
		wait = min(n.failures, wait)
		n.failures = min(2*n.failures, 10*time.Second)
		return wait
	}
	n.failures = 100 * time.Millisecond
	return n.pause()
}

// pause is how long the next look at the runtime may wait.
func (n *Node) pause() time.Duration {
	wait := n.cfg.Health.Due(time.Now(), n.cfg.StatusEvery)
	if n.cfg.Health.NetworkTrouble() == "" {
		return wait
	}
	if time.Since(n.began) < startIn { // starting: the pod network is about to announce itself
		return min(wait, 50*time.Millisecond)
	}
	return min(wait, time.Second) // a node that is about to become ready is looked at more often
}

// update writes what differs. early means that it is too early to say anything.
func (n *Node) update(ctx context.Context) (early bool, err error) {
	is, err := n.get(ctx)
	if err != nil {
		return false, err
	}
	n.tellRange(ctx, is.Spec.PodCIDR)
	if n.tooEarly(ctx, is) {
		return true, nil
	}
	written, err := n.report(ctx, is, time.Since(n.reported) >= n.cfg.ReportEvery)
	if written {
		n.reported = time.Now()
	}
	if err == nil && n.cfg.Create {
		err = n.correct(ctx, is, n.cfg.identity())
	}
	return false, err
}

// get reads the node from the hub, within the bound of a heartbeat.
func (n *Node) get(ctx context.Context) (*corev1.Node, error) {
	ctx, cancel := context.WithTimeout(ctx, HeartbeatLimit)
	defer cancel()
	return client.Get[*corev1.Node](ctx, n.cfg.Hub, client.Nodes, "", n.cfg.Name)
}

// tellRange tells the runtime the node's pod range when it is another.
func (n *Node) tellRange(ctx context.Context, cidr string) {
	if cidr == "" || cidr == n.cidr {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, health.LookEvery)
	defer cancel()
	if err := n.cfg.Runtime.SetPodCIDR(ctx, cidr); err == nil {
		n.cidr = cidr
	}
}

// tooEarly tells whether a kubelet that has just started would call a node not ready that was Ready when its last run ended:
// the runtime and the pod network may be starting too, and a wrong word would taint the node and its pods' endpoints.
func (n *Node) tooEarly(ctx context.Context, is *corev1.Node) bool {
	if time.Since(n.began) >= startIn || !isReady(is.Status.Conditions) {
		return false
	}
	st := n.cfg.Health.Look(ctx)
	return st == nil || !st.Ready || !st.NetworkReady
}

// report writes the node's status if it differs from that of is, or if it is due. It tells of conditions that changed.
func (n *Node) report(ctx context.Context, is *corev1.Node, due bool) (bool, error) {
	next := is.DeepCopy()
	n.fill(ctx, &next.Status)
	if !due && !statusDiffers(&is.Status, &next.Status) {
		return false, nil
	}
	patch, err := statusPatch(&is.Status, &next.Status)
	if err != nil {
		return false, err
	}
	if patch != nil {
		ctx, cancel := context.WithTimeout(ctx, HeartbeatLimit)
		defer cancel()
		at := client.Ref{Resource: client.Nodes, Name: n.cfg.Name, Subresource: "status"}
		if _, err := n.cfg.Hub.Patch(ctx, at, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return false, err
		}
	}
	n.tell(changes(is.Status.Conditions, next.Status.Conditions)...)
	return true, nil
}

// fill makes s, which holds the last status, that of now. What a runtime that does not answer said before stays.
func (n *Node) fill(ctx context.Context, s *corev1.NodeStatus) {
	if n.cfg.CloudProvider == "" || len(s.Addresses) == 0 {
		s.Addresses = n.addresses()
	}
	n.fillResources(s)
	if n.cfg.VolumesInUse != nil {
		s.VolumesInUse = n.cfg.VolumesInUse(s.VolumesInUse)
	}
	s.DaemonEndpoints.KubeletEndpoint.Port = n.cfg.Port
	version := s.NodeInfo.ContainerRuntimeVersion
	s.NodeInfo = n.info()
	s.NodeInfo.ContainerRuntimeVersion = version
	if n.cfg.Health.Look(ctx) != nil {
		n.cfg.Health.Relist(ctx, time.Now(), n.cfg.PodChanged)
		ctx, cancel := context.WithTimeout(ctx, health.LookEvery)
		defer cancel()
		if v, err := n.cfg.Runtime.Version(ctx); err == nil {
			s.NodeInfo.ContainerRuntimeVersion = v.Name + "://" + strings.TrimPrefix(v.Version, "v")
		}
		if imgs, err := n.cfg.Runtime.Images(ctx); err == nil {
			s.Images = nodeImages(imgs)
		}
	}
	s.DeclaredFeatures = n.declared
	if st, _ := n.cfg.Health.Status(); st != nil {
		s.RuntimeHandlers = st.Handlers
		groups := st.SupplementalGroupPolicy
		s.Features = &corev1.NodeFeatures{SupplementalGroupsPolicy: &groups}
	}
	now := time.Now()
	trouble := n.cfg.Health.Errors(now)
	if n.cfg.Trouble != nil {
		if err := n.cfg.Trouble(); err != nil {
			trouble = append(trouble, err)
		}
	}
	setConditions(s, facts{network: n.cfg.OwnNetwork, pressure: n.cfg.Pressure(), trouble: trouble}, metav1.NewTime(now).Rfc3339Copy())
}

// fillResources sets capacity and what of it pods may use.
func (n *Node) fillResources(s *corev1.NodeStatus) {
	var d devices
	if n.cfg.Devices != nil {
		d.capacity, d.allocatable, d.gone = n.cfg.Devices()
	}
	s.Capacity, s.Allocatable = withDevices(n.capacity, n.Allocatable(), s.Capacity, d)
}

func (n *Node) addresses() []corev1.NodeAddress {
	var out []corev1.NodeAddress
	for _, ip := range n.IPs() {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	if n.cfg.ExternalIP != nil {
		out = append(out, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: n.cfg.ExternalIP.String()})
	}
	return append(out, corev1.NodeAddress{Type: corev1.NodeHostName, Address: n.cfg.Hostname})
}

// register creates the node, or brings an existing one's labels and annotations into line, however often that has to be tried. It
// returns the node if it was created, and false when ctx has ended.
func (n *Node) register(ctx context.Context) (made *corev1.Node, ok bool) {
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 7*time.Second) {
		made, err := n.tryRegister(ctx)
		if err == nil {
			return made, true
		}
		if ctx.Err() != nil {
			return nil, false
		}
		if delay > time.Second {
			n.cfg.Log.Warn("node not registered", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil, false
		case <-time.After(delay):
		}
	}
}

func (n *Node) tryRegister(ctx context.Context) (*corev1.Node, error) {
	want := n.cfg.initial()
	n.fill(ctx, &want.Status)
	_, err := client.Create(ctx, n.cfg.Hub, client.Nodes, want)
	if err == nil {
		n.cfg.Log.Info("registered node")
		return want, nil
	}
	// A store that takes no values for now may have the node all the same.
	if !apierrors.IsAlreadyExists(err) && !apierrors.IsForbidden(err) && !apierrors.IsServiceUnavailable(err) {
		return nil, err
	}
	old, gerr := client.Get[*corev1.Node](ctx, n.cfg.Hub, client.Nodes, "", n.cfg.Name)
	if gerr != nil {
		return nil, err
	}
	return nil, n.correct(ctx, old, want)
}

// correct brings the labels and annotations of is that are the kubelet's to say into line with want.
func (n *Node) correct(ctx context.Context, is, want *corev1.Node) error {
	labels, annotations := corrections(is, want)
	if len(labels) == 0 && len(annotations) == 0 {
		return nil
	}
	_, err := client.MergePatch(ctx, n.cfg.Hub, client.Ref{Resource: client.Nodes, Name: n.cfg.Name},
		map[string]any{"metadata": map[string]any{"labels": labels, "annotations": annotations}})
	return err
}

// tell records an event for each reason that the node's state has changed for.
func (n *Node) tell(reasons ...string) {
	for _, reason := range reasons {
		n.cfg.Events.Node(corev1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", n.cfg.Name, reason))
	}
}
