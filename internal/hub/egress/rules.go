package egress

import (
	"fmt"
	"net/netip"
	"slices"

	"sampan.dev/internal/addr"
)

// rules is what a Dialer holds an address against; all of it is known when one connection is made.
type rules struct {
	never []netip.Prefix
	own   []netip.AddrPort // listeners; an unspecified address is every one of the machine
	local func() []netip.Addr
}

// refuse returns why nothing is to be reached at an address, or "".
func (r rules) refuse(to netip.AddrPort) string {
	if what := addr.Special(to.Addr()); what != "" {
		return what
	}
	for _, p := range r.never {
		if p.Contains(to.Addr()) {
			return fmt.Sprintf("in the range %s", p)
		}
	}
	return r.mine(to)
}

// mine returns that an address is one of the API server's own listeners, or "".
func (r rules) mine(to netip.AddrPort) string {
	for _, l := range r.own {
		if l.Port() != to.Port() {
			continue
		}
		at := l.Addr().Unmap()
		if at == to.Addr() {
			return "the API server's own"
		}
		if !at.IsUnspecified() {
			continue
		}
		if to.Addr().IsLoopback() { // all of 127/8 is the machine's
			return "the API server's own"
		}
		if local := r.local(); len(local) == 0 || slices.Contains(local, to.Addr()) { // none: they could not be read
			return "the API server's own"
		}
	}
	return ""
}
