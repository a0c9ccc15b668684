package alloc

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"sampan.dev/internal/client"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// managedBy is the value of the label by which the objects of this allocator, and of upstream's, are known.
const managedBy = "ipallocator.k8s.io"

// releaseTimeout is how long giving back may take: it goes on when the request is over.
const releaseTimeout = 10 * time.Second

// ipObject is the IPAddress of an address that a service has.
func ipObject(ip netip.Addr, svc *corev1.Service) *networkingv1.IPAddress {
	return &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: ip.String(), Labels: map[string]string{
			networkingv1.LabelIPAddressFamily: string(familyOf(ip)), networkingv1.LabelManagedBy: managedBy}},
		Spec: networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: client.Services.Resource, Namespace: svc.Namespace, Name: svc.Name}},
	}
}

// takeIP takes an address that the client names.
func (o *operation) takeIP(f corev1.IPFamily, ip netip.Addr) error {
	s := o.s
	s.mu.Lock()
	if o.dry {
		defer s.mu.Unlock()
		return s.mu.ips[f].check(ip)
	}
	err := s.mu.ips[f].take(ip, o.owner)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	o.ips = append(o.ips, ip)
	return o.claim(ip)
}

// nextIP takes some address.
func (o *operation) nextIP(f corev1.IPFamily) (netip.Addr, error) {
	s := o.s
	if o.dry {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.mu.ips[f].dummy()
	}
	var skip map[netip.Addr]bool
	for {
		s.mu.Lock()
		ip, err := s.mu.ips[f].next(o.owner, skip)
		s.mu.Unlock()
		if err != nil {
			return ip, err
		}
		switch err := o.claim(ip); {
		case err == nil:
			o.ips = append(o.ips, ip)
			return ip, nil
		case !errors.Is(err, errIPTaken):
			o.ips = append(o.ips, ip)
			return ip, err
		}
		s.mu.Lock()
		s.freeLocked(o.owner, []netip.Addr{ip}, nil)
		s.mu.Unlock()
		if skip == nil {
			skip = map[netip.Addr]bool{}
		}
		skip[ip] = true
	}
}

// claim makes the address the service's for everybody. An error says that it is not.
func (o *operation) claim(ip netip.Addr) error {
	if o.s.door == nil {
		return nil
	}
	_, err := client.Create(o.ctx, o.s.door, client.IPAddresses, ipObject(ip, o.svc))
	if apierrors.IsAlreadyExists(err) {
		o.foreign = append(o.foreign, ip)
		return errIPTaken
	}
	return err
}

// undo gives back what the operation took. The IPAddress of an address that was somebody else's stays.
func (o *operation) undo() {
	if o.dry {
		return // it took nothing
	}
	own := slices.DeleteFunc(slices.Clone(o.ips), func(ip netip.Addr) bool { return slices.Contains(o.foreign, ip) })
	o.s.release(own, o.ports)
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	o.s.freeLocked(o.owner, o.ips, o.ports)
}

// release gives back addresses and ports to everybody. What cannot be given back now, the next repair gives back.
func (s *Services) release(ips []netip.Addr, ports []int32) {
	if s.door == nil && s.shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	if s.door != nil {
		s.leave(ips, true)
		defer s.leave(ips, false)
	}
	for _, ip := range ips {
		if s.door == nil {
			break
		}
		if err := client.Delete(ctx, s.door, client.IPAddresses, "", ip.String(), ""); err != nil && !apierrors.IsNotFound(err) {
			s.log.Warn("an address is not given back", "address", ip, "error", err)
		}
	}
	if s.shared != nil && len(ports) > 0 {
		if err := s.shared.give(ctx, ports); err != nil {
			s.log.Warn("node ports are not given back", "ports", ports, "error", err)
		}
	}
}

// leave notes that addresses are being given back, or that they have been.
func (s *Services) leave(ips []netip.Addr, now bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ip := range ips {
		if now {
			s.mu.leaving[ip] = true
		} else {
			delete(s.mu.leaving, ip)
		}
	}
}

// dummyPort is below the first port that a dry run shows in place of one that would be chosen.
const dummyPort = 32768

// takePort takes a node port that the client names.
func (o *operation) takePort(port int32) error {
	s := o.s
	if o.dry { // as upstream's dry runs it looks at what it gives itself only
		if slices.Contains(o.ports, port) {
			return errPortTaken
		}
		o.ports = append(o.ports, port)
		return nil
	}
	s.mu.Lock()
	err := s.mu.ports.take(port, o.owner)
	s.mu.Unlock()
	if err != nil || s.shared == nil {
		if err == nil {
			o.ports = append(o.ports, port)
		}
		return err
	}
	if err = s.shared.take(o.ctx, port); err != nil {
		s.mu.Lock()
		s.freeLocked(o.owner, nil, []int32{port})
		s.mu.Unlock()
		return err
	}
	o.ports = append(o.ports, port)
	return nil
}

// nextPort takes some node port.
func (o *operation) nextPort() (int32, error) {
	s := o.s
	if o.dry {
		port := max(dummyPort, slices.Max(append(o.ports, 0))) + 1
		o.ports = append(o.ports, port)
		return port, nil
	}
	var skip map[int32]bool
	for {
		s.mu.Lock()
		port, err := s.mu.ports.next(o.owner, skip)
		s.mu.Unlock()
		if err != nil {
			return port, err
		}
		if s.shared == nil {
			o.ports = append(o.ports, port)
			return port, nil
		}
		if err = s.shared.take(o.ctx, port); err == nil {
			o.ports = append(o.ports, port)
			return port, nil
		}
		s.mu.Lock()
		s.freeLocked(o.owner, nil, []int32{port})
		s.mu.Unlock()
		if !errors.Is(err, errPortTaken) {
			return port, err
		}
		if skip == nil {
			skip = map[int32]bool{}
		}
		skip[port] = true
	}
}
