package alloc

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// orphanAge is how old an IPAddress must be before a Service that it names and that is not there counts as gone: it is created before
// the Service is, and a request may last that long.
const orphanAge = 60 * time.Second

// repairEvery is how often API servers that share a store look for what one of them left behind. It is upstream's.
const repairEvery = 3 * time.Minute

// Record tells of something that was put right, as an event of an object.
type Record func(of api.Object, reason, message string)

// fix is one thing to put right: an address that is to have an object for a Service, or to have none.
type fix struct {
	ip      netip.Addr
	replace bool            // the object that is there is wrong
	svc     *corev1.Service // nil: the address is nobody's
	of      api.Object      // whom the event is about
	reason  string
	message string
}

// repairs compares Services with the IPAddress objects there are. Later is when orphans are old enough to be looked at again; zero for
// no time. The rules and the words are upstream's (pkg/registry/core/service/ipallocator/controller).
func repairs(services []*corev1.Service, objects []*networkingv1.IPAddress, ranges []netip.Prefix, now time.Time) (fixes []fix, later time.Duration) {
	byName := map[string]*networkingv1.IPAddress{}
	for _, o := range objects {
		byName[o.Name] = o
	}
	byKey := map[string]*corev1.Service{}
	for _, svc := range services {
		byKey[svc.Namespace+"/"+svc.Name] = svc
	}
	for _, svc := range services {
		for _, ip := range addressesOf(svc) {
			if f := repairOf(svc, ip, byName[ip.String()], byKey, ranges); f != nil {
				fixes = append(fixes, *f)
			}
		}
	}
	for _, o := range objects {
		f, wait := orphan(o, byKey, now)
		if f != nil {
			fixes = append(fixes, *f)
		}
		if wait > 0 && (later == 0 || wait < later) {
			later = wait
		}
	}
	return fixes, later
}

func repairOf(svc *corev1.Service, ip netip.Addr, o *networkingv1.IPAddress, byKey map[string]*corev1.Service, ranges []netip.Prefix) *fix {
	family := familyOf(ip)
	within := slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(ip) })
	wrong := fmt.Sprintf("the ClusterIP [%v]: %s for Service %s/%s has a wrong reference; repairing", family, ip, svc.Namespace, svc.Name)
	switch {
	case !within:
		return &fix{ip: ip, of: svc, reason: "ClusterIPOutOfRange", message: fmt.Sprintf("Cluster IP [%v]: %s is not within any configured Service CIDR; please recreate service", family, ip)}
	case o == nil:
		return &fix{ip: ip, svc: svc, of: svc, reason: "ClusterIPNotAllocated", message: fmt.Sprintf("Cluster IP [%v]: %s is not allocated; repairing", family, ip)}
	case !parentIsService(o):
		return &fix{ip: ip, replace: true, svc: svc, of: svc, reason: "ClusterIPNotAllocated", message: wrong}
	case o.Spec.ParentRef.Namespace != svc.Namespace || o.Spec.ParentRef.Name != svc.Name:
		other := byKey[o.Spec.ParentRef.Namespace+"/"+o.Spec.ParentRef.Name]
		if other == nil {
			return &fix{ip: ip, replace: true, svc: svc, of: svc, reason: "ClusterIPNotAllocated", message: wrong}
		}
		if slices.Contains(addressesOf(other), ip) {
			return &fix{ip: ip, of: svc, reason: "ClusterIPAlreadyAllocated", message: fmt.Sprintf("Cluster IP [%v]:%s was assigned to multiple services; please recreate service", family, ip)}
		}
	case !ours(o) || o.Labels[networkingv1.LabelIPAddressFamily] != string(family):
		return &fix{ip: ip, replace: true, svc: svc}
	}
	return nil
}

func parentIsService(o *networkingv1.IPAddress) bool {
	p := o.Spec.ParentRef
	return p != nil && p.Group == "" && p.Resource == client.Services.Resource
}

func ours(o *networkingv1.IPAddress) bool { return o.Labels[networkingv1.LabelManagedBy] == managedBy }

// orphan decides on an object of the allocator's by what it names.
func orphan(o *networkingv1.IPAddress, byKey map[string]*corev1.Service, now time.Time) (*fix, time.Duration) {
	ip, err := netip.ParseAddr(o.Name)
	if err != nil || !ours(o) {
		return nil, 0
	}
	f := &fix{ip: ip, replace: true, of: o, reason: "IPAddressNotAllocated"}
	if !parentIsService(o) {
		f.message = fmt.Sprintf("IPAddress %s appears to have been modified, not referencing a Service %v: cleaning up", o.Name, o.Spec.ParentRef)
		return f, 0
	}
	p, age := o.Spec.ParentRef, now.Sub(o.CreationTimestamp.Time)
	svc := byKey[p.Namespace+"/"+p.Name]
	switch {
	case svc == nil:
		f.message = fmt.Sprintf("IPAddress: %s for Service %s/%s appears to have leaked: cleaning up", o.Name, p.Namespace, p.Name)
	case slices.Contains(addressesOf(svc), ip):
		return nil, 0
	default:
		f.reason, f.message = "IPAddressWrongReference", fmt.Sprintf("IPAddress: %s for Service %s/%s has a wrong reference; cleaning up", o.Name, p.Namespace, p.Name)
	}
	if age <= orphanAge {
		return nil, orphanAge - age + time.Millisecond
	}
	return f, 0
}

// Repair makes the IPAddress objects those of the Services there are, and the record of node ports theirs: at the start, when what it
// found is old enough to be believed, and from time to time where the store is shared. It returns when there is nothing left to do,
// or ctx ends.
func (s *Services) Repair(ctx context.Context, record Record) error {
	if s.door == nil {
		return nil
	}
	select {
	case <-s.synced:
	case <-ctx.Done():
		return nil
	}
	for {
		wait, err := s.repairOnce(ctx, record)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.log.Warn("repair cluster addresses", "error", err)
			wait = time.Second
		case s.shared != nil:
			wait = repairEvery
		case wait == 0:
			return nil
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil
		}
	}
}

func (s *Services) repairOnce(ctx context.Context, record Record) (time.Duration, error) {
	services, err := client.ListAll[*corev1.Service](ctx, s.door, client.Services, "", metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	// The objects are read after the Services: who has come between has an object whose Service is not in view, and is young.
	objects, err := client.ListAll[*networkingv1.IPAddress](ctx, s.door, client.IPAddresses, "", metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	s.follow(ctx)
	s.mu.Lock()
	ranges := s.mu.ranges
	s.mu.Unlock()
	fixes, later := repairs(services, objects, ranges, time.Now())
	if len(objects) == 0 {
		record = nil // data of a server that had none: nothing went wrong
	}
	for _, f := range fixes {
		if err := s.fix(ctx, f); err != nil {
			return 0, err
		}
		if record != nil && f.reason != "" {
			record(f.of, f.reason, f.message)
		}
	}
	if s.shared != nil {
		return later, s.repairPorts(ctx)
	}
	return later, nil
}

func (s *Services) fix(ctx context.Context, f fix) error {
	if f.replace {
		if err := client.Delete(ctx, s.door, client.IPAddresses, "", f.ip.String(), ""); err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	if f.svc == nil {
		return nil
	}
	_, err := client.Create(ctx, s.door, client.IPAddresses, ipObject(f.ip, f.svc))
	if apierrors.IsAlreadyExists(err) {
		return nil // it will be looked at again
	}
	return err
}

// repairPorts adds to the record the ports of Services that are not in it. A port that is in it and no Service has may be one that
// is being given out: it is given back at the next start of a server that is alone.
func (s *Services) repairPorts(ctx context.Context) error {
	services, err := client.ListAll[*corev1.Service](ctx, s.door, client.Services, "", metav1.ListOptions{})
	if err != nil {
		return err
	}
	var ports []int32
	for _, svc := range services {
		ports = append(ports, portsOf(svc)...)
	}
	return s.shared.add(ctx, ports)
}
