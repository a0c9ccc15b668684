package network

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"sampan.dev/internal/client"
	"sampan.dev/internal/client/cache"
	"sampan.dev/internal/control/loop"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// rangeFinalizer keeps a range of cluster addresses while Services have addresses of it.
const rangeFinalizer = "networking.k8s.io/service-cidr-finalizer"

// rangeGrace is how long a range that is being deleted and that nobody has an address of is kept, so that every API server knows by then
// that it gives no more out.
const rangeGrace = 10 * time.Second

// ranges is the service-cidr-controller. addresses is nil until a range is deleted for the first time: nobody needs the IPAddress
// objects before. All fields are set by New, but for addresses, which the queue's one goroutine sets.
type ranges struct {
	env       loop.Env
	queue     *loop.Queue
	all       *cache.Informer[*networkingv1.ServiceCIDR]
	addresses *cache.Informer[*networkingv1.IPAddress]
}

// NewServiceCIDR makes the service-cidr-controller: ranges of cluster addresses are ready, and those that are deleted stay until no
// Service has an address that only they have. Account: service-cidrs-controller.
func NewServiceCIDR(env loop.Env) loop.Runner {
	r := &ranges{env: env, queue: loop.NewQueue(), all: cache.For[*networkingv1.ServiceCIDR](env.Informers, client.ServiceCIDRs, cache.Options{})}
	r.all.Handle(cache.Handler[*networkingv1.ServiceCIDR]{
		Add: func(c *networkingv1.ServiceCIDR) {
			r.queue.Add(c.Name)
			r.again() // a range that has come may let another go
		},
		Update: func(_, c *networkingv1.ServiceCIDR) { r.queue.Add(c.Name) },
	})
	return &loop.Controller{Name: env.Name, Workers: 1, Queue: r.queue, Log: env.Log, Synced: []<-chan struct{}{r.all.Synced()}, Reconcile: r.reconcile}
}

// again has those looked at that are being deleted.
func (r *ranges) again() {
	for _, c := range r.all.List("") {
		if c.DeletionTimestamp != nil {
			r.queue.Add(c.Name)
		}
	}
}

func (r *ranges) reconcile(ctx context.Context, name string) (time.Duration, error) {
	c, ok := r.all.Get("", name)
	switch {
	case !ok:
		return 0, nil
	case c.DeletionTimestamp == nil:
		return 0, r.serve(ctx, c)
	case !slices.Contains(c.Finalizers, rangeFinalizer):
		return 0, nil
	}
	if r.addresses == nil {
		r.addresses = cache.For[*networkingv1.IPAddress](r.env.Informers, client.IPAddresses, cache.Options{})
		r.addresses.Handle(cache.Handler[*networkingv1.IPAddress]{Delete: func(*networkingv1.IPAddress) { r.again() }})
	}
	select {
	case <-r.addresses.Synced():
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if needed(c, r.all.List(""), r.addresses.List("")) {
		return 0, r.say(ctx, c, metav1.Condition{Status: metav1.ConditionFalse, Reason: networkingv1.ServiceCIDRReasonTerminating,
			Message: "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"})
	}
	if wait := rangeGrace - time.Since(c.DeletionTimestamp.Time); wait > 0 {
		return wait, nil
	}
	out := c.DeepCopy()
	out.Finalizers = slices.DeleteFunc(out.Finalizers, func(f string) bool { return f == rangeFinalizer })
	_, err := client.Update(ctx, r.env.Door, client.ServiceCIDRs, out)
	return 0, gone(err)
}

// serve makes a range ready, and has it stay when it is deleted.
func (r *ranges) serve(ctx context.Context, c *networkingv1.ServiceCIDR) error {
	if !slices.Contains(c.Finalizers, rangeFinalizer) {
		out := c.DeepCopy()
		out.Finalizers = append(out.Finalizers, rangeFinalizer)
		var err error
		if c, err = client.Update(ctx, r.env.Door, client.ServiceCIDRs, out); err != nil {
			return gone(err)
		}
	}
	err := r.say(ctx, c, metav1.Condition{Status: metav1.ConditionTrue, Message: "Kubernetes Service CIDR is ready"})
	if err != nil && !apierrors.IsConflict(err) { // the view is behind: the next look is better
		r.env.Events.Event(c, corev1.EventTypeWarning, "KubernetesServiceCIDRError", "The ServiceCIDR Status can not be set to Ready=True")
	}
	return err
}

// say writes whether a range is ready, where its status says otherwise.
func (r *ranges) say(ctx context.Context, c *networkingv1.ServiceCIDR, k metav1.Condition) error {
	k.Type = networkingv1.ServiceCIDRConditionReady
	if have := meta.FindStatusCondition(c.Status.Conditions, k.Type); have != nil && have.Status == k.Status && have.Reason == k.Reason && have.Message == k.Message {
		return nil
	}
	out := c.DeepCopy()
	meta.SetStatusCondition(&out.Status.Conditions, k)
	_, err := client.UpdateStatus(ctx, r.env.Door, client.ServiceCIDRs, out)
	return gone(err)
}

// gone forgives a write to what is not there any more.
func gone(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// needed reports whether Services have addresses of a range that no other range has. A range that lies within others may go.
func needed(c *networkingv1.ServiceCIDR, all []*networkingv1.ServiceCIDR, addresses []*networkingv1.IPAddress) bool {
	var others []netip.Prefix
	for _, o := range all {
		if o.Name != c.Name {
			others = append(others, prefixes(o)...)
		}
	}
	within := true
	own := prefixes(c)
	for _, p := range own {
		within = within && slices.ContainsFunc(others, func(o netip.Prefix) bool { return o.Overlaps(p) && o.Bits() <= p.Bits() })
	}
	if within {
		return false
	}
	return slices.ContainsFunc(addresses, func(a *networkingv1.IPAddress) bool {
		ip, err := netip.ParseAddr(a.Name)
		has := func(p netip.Prefix) bool { return p.Contains(ip) }
		return err == nil && a.Labels[networkingv1.LabelManagedBy] == "ipallocator.k8s.io" && slices.ContainsFunc(own, has) && !slices.ContainsFunc(others, has)
	})
}

func prefixes(c *networkingv1.ServiceCIDR) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range c.Spec.CIDRs {
		if p, err := netip.ParsePrefix(s); err == nil {
			out = append(out, p)
		}
	}
	return out
}
