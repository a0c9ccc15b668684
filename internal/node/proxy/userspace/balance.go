package userspace

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sampan.dev/internal/node/proxy"
)

// balancer decides which endpoint a client of one Service port gets. It does no I/O; time and chance are given to it.
// mu guards entry, sticky and sweep; every goroutine that serves the port uses it.
type balancer struct {
	random func(n int) int // 0 … n-1, evenly

	mu     sync.Mutex
	entry  proxy.Entry
	sticky map[netip.Addr]visit // clients of a port with session affinity; nil without
	sweep  time.Time            // when silent clients are forgotten next
}

// visit is which endpoint a client was given, and when last.
type visit struct {
	to netip.AddrPort
	at time.Time
}

// client is who wants to be served. near says whether it is a pod or this node itself; it is asked only where that matters.
type client struct {
	addr netip.Addr
	near func() bool
}

func newBalancer(e proxy.Entry) *balancer { return &balancer{random: rand.IntN, entry: e} }

// set gives the port another meaning. Clients stay with their endpoints as long as those are there.
func (b *balancer) set(e proxy.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entry = e
	for c, v := range b.sticky {
		if !serves(&e, v.to) {
			delete(b.sticky, c)
		}
	}
}

// serves tells whether an endpoint is one of the entry's, for whichever clients.
func serves(e *proxy.Entry, to netip.AddrPort) bool {
	return e.Front != nil && slices.Contains(e.Front.Backends, to) || e.Near != nil && slices.Contains(e.Near.Backends, to)
}

// has tells whether an endpoint is still one of the port's.
func (b *balancer) has(to netip.AddrPort) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return serves(&b.entry, to)
}

// pick returns an endpoint for a client that is none of those in tried, or false: the client may not come in, or no such
// endpoint is left. With session affinity it is that of the client's last visit, unless that was too long ago.
func (b *balancer) pick(c client, tried []netip.AddrPort, now time.Time) (netip.AddrPort, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if allow := b.entry.Allow; len(allow) > 0 && !slices.ContainsFunc(allow, func(p netip.Prefix) bool { return p.Contains(c.addr) }) {
		return netip.AddrPort{}, false
	}
	bal := b.entry.Front
	if b.entry.Near != nil && c.near() {
		bal = b.entry.Near
	}
	if bal == nil {
		return netip.AddrPort{}, false
	}
	timeout := time.Duration(bal.Affinity) * time.Second
	if v, ok := b.sticky[c.addr]; ok && timeout > 0 && now.Sub(v.at) < timeout && slices.Contains(bal.Backends, v.to) && !slices.Contains(tried, v.to) {
		b.sticky[c.addr] = visit{v.to, now}
		return v.to, true
	}
	left := bal.Backends
	if len(tried) > 0 {
		left = slices.DeleteFunc(slices.Clone(left), func(a netip.AddrPort) bool { return slices.Contains(tried, a) })
	}
	if len(left) == 0 {
		return netip.AddrPort{}, false
	}
	to := left[b.random(len(left))]
	b.remember(c.addr, to, timeout, now)
	return to, true
}

// remember notes a visit where the port has session affinity. Clients that were silent for the whole timeout are forgotten on
// the way, once in a timeout, so that nobody has to come round for it.
func (b *balancer) remember(c netip.Addr, to netip.AddrPort, timeout time.Duration, now time.Time) {
	if timeout == 0 {
		b.sticky = nil
		return
	}
	if b.sticky == nil {
		b.sticky, b.sweep = map[netip.Addr]visit{}, now.Add(timeout)
	}
	if !now.Before(b.sweep) {
		for a, v := range b.sticky {
			if now.Sub(v.at) >= timeout {
				delete(b.sticky, a)
			}
		}
		b.sweep = now.Add(timeout)
	}
	b.sticky[c] = visit{to, now}
}
