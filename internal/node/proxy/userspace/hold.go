package userspace

import (
	"errors"
	"net/netip"
)

// addresses are those of Services that sockets listen at, and how many ports use each. Its owner is the Applier, under its
// lock.
type addresses struct {
	routes  routes
	cluster map[netip.Addr]bool // ClusterIPs: these alone are made the machine's own, or have places in 127/8
	used    map[netip.Addr]*held
	ours    map[netip.Addr]bool // what routes of ours lead to, used or left by an earlier proxy
}

type held struct {
	ports int
	is    standing
}

func newAddresses(r routes) *addresses {
	return &addresses{routes: r, cluster: map[netip.Addr]bool{}, used: map[netip.Addr]*held{}, ours: map[netip.Addr]bool{}}
}

// adopt takes over the routes that an earlier proxy of this instance left.
func (s *addresses) adopt() error {
	all, err := s.routes.list()
	for _, a := range all {
		s.ours[a] = true
	}
	return err
}

// hold counts a port at an address and, for the first one, makes the address fit for sockets. The zero Addr always is. The
// error says why an address cannot be made the machine's own; it may have a place in 127/8 all the same.
func (s *addresses) hold(a netip.Addr) (first bool, err error) {
	if !a.IsValid() {
		return false, nil
	}
	if h := s.used[a]; h != nil {
		h.ports++
		return false, nil
	}
	h := &held{ports: 1}
	s.used[a] = h
	h.is, err = s.settle(a)
	return true, err
}

// settle finds out how an address can be listened at. Only ClusterIPs are made the machine's own: a route takes all ports of an
// address, and what else a Service has may be another node's address, or that of a program somewhere.
func (s *addresses) settle(a netip.Addr) (standing, error) {
	if s.ours[a] {
		return ours, nil
	}
	is, err := isNative(a)
	if is {
		return native, nil
	}
	if !s.cluster[a] {
		return elsewhere, err
	}
	if err == nil {
		if err = s.routes.add(a); err == nil {
			s.ours[a] = true
			return ours, nil
		}
	}
	if canStandIn(a) {
		return standIn, err
	}
	return elsewhere, err
}

// standing is how an address that is held can be listened at; one that was elsewhere may have become the machine's.
func (s *addresses) standing(a netip.Addr) standing {
	h := s.used[a]
	if h == nil {
		return elsewhere
	}
	if h.is == elsewhere && !s.cluster[a] {
		h.is, _ = s.settle(a)
	}
	return h.is
}

// release takes a port from an address, and the address from the machine with its last port.
func (s *addresses) release(a netip.Addr) error {
	h := s.used[a]
	if h == nil {
		return nil
	}
	if h.ports--; h.ports > 0 {
		return nil
	}
	delete(s.used, a)
	return s.drop(a)
}

func (s *addresses) drop(a netip.Addr) error {
	if !s.ours[a] {
		return nil
	}
	delete(s.ours, a)
	return s.routes.remove(a)
}

// releaseUnused takes away what an earlier proxy left and nobody uses.
func (s *addresses) releaseUnused() error {
	var errs []error
	for a := range s.ours {
		if s.used[a] == nil {
			errs = append(errs, s.drop(a))
		}
	}
	return errors.Join(errs...)
}

func (s *addresses) releaseAll() error {
	s.used = map[netip.Addr]*held{}
	return s.releaseUnused()
}
