package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"golang.org/x/sync/errgroup"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
)

// Node is a hollow node. Its pods are Running and Ready as soon as they are bound and gone as soon as they are deleted.
type Node struct {
	Name   string
	Labels map[string]string
	Door   client.Interface // the node's identity
	Log    *slog.Logger
}

// Beats of a kubelet: the lease every 10 s, the status at most every 5 min while nothing changes (upstream's defaults).
const (
	leaseEvery    = 10 * time.Second
	leaseDuration = int32(40)
	statusEvery   = 5 * time.Minute
)

// Run registers the node and keeps it alive until ctx ends. Ending it is a crash: nothing is said to the hub.
func (n *Node) Run(ctx context.Context) error {
	if err := n.register(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("register %s: %w", n.Name, err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return n.beat(ctx) })
	g.Go(func() error { return n.pods(ctx) })
	return g.Wait()
}

func (n *Node) register(ctx context.Context) error {
	labels := map[string]string{ // as our kubelet and upstream's register with
		corev1.LabelHostname: n.Name, corev1.LabelOSStable: "linux", corev1.LabelArchStable: "amd64",
		"beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
	}
	for k, v := range n.Labels {
		labels[k] = v
	}
	obj := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: labels}}
	obj.Status = n.status()
	_, err := client.Create(ctx, n.Door, client.Nodes, obj)
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	return n.writeStatus(ctx)
}

func (n *Node) status() corev1.NodeStatus {
	capacity := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("4"),
		corev1.ResourceMemory:           resource.MustParse("32Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Gi"),
		corev1.ResourcePods:             resource.MustParse("110"),
	}
	now := metav1.NewTime(time.Now())
	st := corev1.NodeStatus{Capacity: capacity, Allocatable: capacity.DeepCopy()}
	for _, c := range []struct {
		kind            corev1.NodeConditionType
		status          corev1.ConditionStatus
		reason, message string
	}{
		{corev1.NodeMemoryPressure, corev1.ConditionFalse, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"},
		{corev1.NodeDiskPressure, corev1.ConditionFalse, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"},
		{corev1.NodePIDPressure, corev1.ConditionFalse, "KubeletHasSufficientPID", "kubelet has sufficient PID available"},
		{corev1.NodeReady, corev1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"},
	} {
		st.Conditions = append(st.Conditions, corev1.NodeCondition{
			Type: c.kind, Status: c.status, Reason: c.reason, Message: c.message, LastHeartbeatTime: now, LastTransitionTime: now,
		})
	}
	st.Addresses = []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: n.Name}}
	return st
}

func (n *Node) writeStatus(ctx context.Context) error {
	old, err := client.Get[*corev1.Node](ctx, n.Door, client.Nodes, "", n.Name)
	if err != nil {
		return err
	}
	obj := old.DeepCopy()
	obj.Status = n.status()
	_, err = client.UpdateStatus(ctx, n.Door, client.Nodes, obj)
	return err
}

// beat renews the lease, and the status now and then. Each node has its own phase, as a real fleet has.
func (n *Node) beat(ctx context.Context) error {
	phase := fnv.New32a()
	phase.Write([]byte(n.Name))
	wait := time.Duration(phase.Sum32()%1000) * leaseEvery / 1000
	reported := time.Now()
	var lease *coordinationv1.Lease
	for {
		var err error
		if lease, err = n.renew(ctx, lease); err != nil && ctx.Err() == nil {
			n.Log.Warn("lease not renewed", "node", n.Name, "error", err)
		}
		if time.Since(reported) >= statusEvery {
			reported = time.Now()
			if err := n.writeStatus(ctx); err != nil && ctx.Err() == nil {
				n.Log.Warn("status not written", "node", n.Name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
			wait = leaseEvery
		}
	}
}

// renew writes the lease anew and returns it. last is what the last renewal returned, nil when it failed or there was none:
// then the lease is read, or made.
func (n *Node) renew(ctx context.Context, last *coordinationv1.Lease) (*coordinationv1.Lease, error) {
	now, seconds := metav1.NewMicroTime(time.Now()), leaseDuration
	spec := coordinationv1.LeaseSpec{HolderIdentity: &n.Name, LeaseDurationSeconds: &seconds, RenewTime: &now}
	if last == nil {
		var err error
		last, err = client.Get[*coordinationv1.Lease](ctx, n.Door, client.Leases, corev1.NamespaceNodeLease, n.Name)
		if apierrors.IsNotFound(err) {
			l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: n.Name}, Spec: spec}
			return client.Create(ctx, n.Door, client.Leases, l)
		}
		if err != nil {
			return nil, err
		}
	}
	l := last.DeepCopy()
	l.Spec = spec
	return client.Update(ctx, n.Door, client.Leases, l)
}

// pods follows the pods bound to the node.
func (n *Node) pods(ctx context.Context) error {
	informer := cache.New[*corev1.Pod](n.Door, client.Pods, cache.Options{FieldSelector: "spec.nodeName=" + n.Name}, n.Log)
	changed := make(chan *corev1.Pod, 4096)
	send := func(p *corev1.Pod) {
		select {
		case changed <- p:
		case <-ctx.Done():
		}
	}
	informer.Handle(cache.Handler[*corev1.Pod]{Add: send, Update: func(_, p *corev1.Pod) { send(p) }})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return informer.Run(ctx) })
	g.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case p := <-changed:
				if err := n.step(ctx, p); err != nil && ctx.Err() == nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
					n.Log.Warn("pod not stepped", "node", n.Name, "pod", p.Name, "error", err)
				}
			}
		}
	})
	return g.Wait()
}

// step brings the record of one pod to where a real kubelet would bring it in the end.
func (n *Node) step(ctx context.Context, p *corev1.Pod) error {
	if p.DeletionTimestamp != nil {
		var none int64
		ref := client.Ref{Resource: client.Pods, Namespace: p.Namespace, Name: p.Name}
		return n.Door.Delete(ctx, ref, metav1.DeleteOptions{GracePeriodSeconds: &none, Preconditions: &metav1.Preconditions{UID: &p.UID}})
	}
	if p.Status.Phase == corev1.PodRunning && isReady(p) { // who was given up meanwhile says that it is there
		return nil
	}
	obj := p.DeepCopy()
	now := metav1.NewTime(time.Now())
	obj.Status.Phase = corev1.PodRunning
	obj.Status.StartTime = &now
	obj.Status.ContainerStatuses = nil
	started := true
	for _, c := range p.Spec.Containers {
		obj.Status.ContainerStatuses = append(obj.Status.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, Ready: true, Started: &started,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	for _, kind := range []corev1.PodConditionType{corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
		setCondition(&obj.Status, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	_, err := client.UpdateStatus(ctx, n.Door, client.Pods, obj)
	return err
}

func isReady(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

func setCondition(st *corev1.PodStatus, c corev1.PodCondition) {
	for i := range st.Conditions {
		if st.Conditions[i].Type == c.Type {
			st.Conditions[i] = c
			return
		}
	}
	st.Conditions = append(st.Conditions, c)
}
