package alloc

import (
	"context"
	"net/netip"
	"slices"

	"sampan.dev/internal/api"
	"sampan.dev/internal/client"
	"sampan.dev/internal/hub/verb"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Objects is the verb.Hook of IPAddress objects. An object that somebody deletes while a Service has the address is made again at once:
// the Service would lose its claim otherwise.
func (s *Services) Objects() verb.Hook { return objects{s} }

type objects struct{ s *Services }

// Assign does nothing: the name of an object is the address, and a name is there once.
func (objects) Assign(context.Context, api.Object, api.Object, bool) (verb.Effect, error) {
	return verb.Effect{}, nil
}

// Deleted implements verb.Hook.
func (h objects) Deleted(obj api.Object) {
	s := h.s
	o, ok := obj.(*networkingv1.IPAddress)
	if !ok || s.door == nil || !parentIsService(o) {
		return
	}
	ip, err := netip.ParseAddr(o.Name)
	if err != nil || !s.keeps(ip) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
	defer cancel()
	svc, err := client.Get[*corev1.Service](ctx, s.door, client.Services, o.Spec.ParentRef.Namespace, o.Spec.ParentRef.Name)
	if err != nil || !slices.Contains(addressesOf(svc), ip) {
		return
	}
	if _, err := client.Create(ctx, s.door, client.IPAddresses, ipObject(ip, svc)); err != nil && !apierrors.IsAlreadyExists(err) {
		s.log.Warn("an address lost its object", "address", ip, "error", err)
	}
}

// keeps reports whether an address is some service's, and is not being given back.
func (s *Services) keeps(ip netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.mu.ips[familyOf(ip)]
	if p == nil || s.mu.leaving[ip] {
		return false
	}
	_, taken := p.used[ip]
	return taken
}
