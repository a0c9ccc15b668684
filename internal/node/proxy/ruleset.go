package proxy

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
)

// Key is what a client addresses. Addr is the zero Addr for a node port: any address of the node.
type Key struct {
	Addr  netip.Addr
	Proto uint8 // IPPROTO_…
	Port  uint16
}

// Masquerade says whose connections get this node's address as their source, so that answers come back through it.
type Masquerade uint8

const (
	// Strangers: connections that do not come from a pod.
	Strangers Masquerade = iota
	// Everyone: the backend may be on any node and the client must not be answered directly.
	Everyone
	// Nobody: the backend is here and shall see the client (externalTrafficPolicy Local).
	Nobody
	// Self: connections of this node itself.
	Self
)

// Balance spreads connections over backends, evenly at random. With Affinity (seconds) a client stays with its backend
// until it has been silent for that long. Backends are sorted.
type Balance struct {
	Masquerade Masquerade
	Affinity   uint32
	Backends   []netip.AddrPort
}

// Refusal is what becomes of connections that have no backend.
type Refusal uint8

const (
	// NotRefused is the zero value: there are backends.
	NotRefused Refusal = iota
	// Reject answers with port unreachable: there is no backend anywhere.
	Reject
	// Drop says nothing: there are backends, but not here where the traffic policy wants them (a load balancer retries).
	Drop
)

// Entry is what a Key means. Near, if set, is for clients on this node or in its cluster's pods, for whom a Local external
// traffic policy does not apply. With Allow, clients from elsewhere are dropped; its prefixes are disjoint.
type Entry struct {
	Front  *Balance
	Near   *Balance
	Refuse Refusal
	Allow  []netip.Prefix
}

// Equal compares by value.
func (e *Entry) Equal(o *Entry) bool { return reflect.DeepEqual(e, o) }

// Rules are what one service asks for.
type Rules struct {
	Entries    map[Key]Entry
	ClusterIPs []netip.Addr
	Local      []netip.Addr // backends on this node, which might connect to themselves
	Health     *Health
}

// Health is the health check of a service with externalTrafficPolicy Local.
type Health struct {
	Port  uint16
	Local int // ready backends on this node
}

// Change is a new meaning of a Key; Old and New are nil where there was or is none.
type Change struct{ Old, New *Entry }

// Delta is what an Applier has to change. Addresses that came and went cancel out.
type Delta struct {
	Changes                      map[Key]Change
	AddClusterIPs, DelClusterIPs []netip.Addr
	AddLocal, DelLocal           []netip.Addr
}

// Empty reports whether there is nothing to do.
func (d *Delta) Empty() bool {
	return len(d.Changes)+len(d.AddClusterIPs)+len(d.DelClusterIPs)+len(d.AddLocal)+len(d.DelLocal) == 0
}

// Ruleset is the rules of all services. Two services may claim the same Key (an external address, say); the one whose name
// sorts first has it, so that all nodes agree.
type Ruleset struct {
	services map[string]Rules
	claims   map[Key][]string // sorted
	ips      map[netip.Addr]int
	local    map[netip.Addr]int
	pending  *pending
}

type pending struct {
	old              map[Key]*Entry // as of the last Take; nil when there was none
	ipsWas, localWas map[netip.Addr]bool
}

// NewRuleset makes an empty one.
func NewRuleset() *Ruleset {
	return &Ruleset{services: map[string]Rules{}, claims: map[Key][]string{}, ips: map[netip.Addr]int{}, local: map[netip.Addr]int{}, pending: newPending()}
}

func newPending() *pending {
	return &pending{old: map[Key]*Entry{}, ipsWas: map[netip.Addr]bool{}, localWas: map[netip.Addr]bool{}}
}

// Set replaces the rules of a service; empty rules remove it.
func (r *Ruleset) Set(service string, rules Rules) {
	was := r.services[service]
	for k := range was.Entries {
		r.note(k)
		r.claims[k] = slices.DeleteFunc(r.claims[k], func(s string) bool { return s == service })
		if len(r.claims[k]) == 0 {
			delete(r.claims, k)
		}
	}
	for k := range rules.Entries {
		r.note(k)
		i, _ := slices.BinarySearch(r.claims[k], service)
		r.claims[k] = slices.Insert(r.claims[k], i, service)
	}
	count(r.ips, r.pending.ipsWas, rules.ClusterIPs, 1)
	count(r.ips, r.pending.ipsWas, was.ClusterIPs, -1)
	count(r.local, r.pending.localWas, rules.Local, 1)
	count(r.local, r.pending.localWas, was.Local, -1)
	if len(rules.Entries) == 0 && rules.Health == nil {
		delete(r.services, service)
	} else {
		r.services[service] = rules
	}
}

// note remembers what k meant before the first change since the last Take.
func (r *Ruleset) note(k Key) {
	if _, known := r.pending.old[k]; !known {
		r.pending.old[k] = r.entry(k)
	}
}

func (r *Ruleset) entry(k Key) *Entry {
	owners := r.claims[k]
	if len(owners) == 0 {
		return nil
	}
	e := r.services[owners[0]].Entries[k]
	return &e
}

func count(have map[netip.Addr]int, was map[netip.Addr]bool, list []netip.Addr, by int) {
	for _, a := range list {
		if _, known := was[a]; !known {
			was[a] = have[a] > 0
		}
		if have[a] += by; have[a] == 0 {
			delete(have, a)
		}
	}
}

// Take returns what changed since the last Take.
func (r *Ruleset) Take() Delta {
	p := r.pending
	r.pending = newPending()
	d := Delta{Changes: map[Key]Change{}}
	for k, old := range p.old {
		now := r.entry(k)
		if old == nil && now == nil || old != nil && now != nil && old.Equal(now) {
			continue
		}
		d.Changes[k] = Change{Old: old, New: now}
	}
	d.AddClusterIPs, d.DelClusterIPs = differ(p.ipsWas, r.ips)
	d.AddLocal, d.DelLocal = differ(p.localWas, r.local)
	return d
}

func differ(was map[netip.Addr]bool, now map[netip.Addr]int) (add, del []netip.Addr) {
	for a, had := range was {
		switch has := now[a] > 0; {
		case has && !had:
			add = append(add, a)
		case had && !has:
			del = append(del, a)
		}
	}
	slices.SortFunc(add, netip.Addr.Compare)
	slices.SortFunc(del, netip.Addr.Compare)
	return add, del
}

// All is the delta from nothing to everything, for an applier that begins anew.
func (r *Ruleset) All() Delta {
	d := Delta{Changes: map[Key]Change{}}
	for k := range r.claims {
		d.Changes[k] = Change{New: r.entry(k)}
	}
	for a := range r.ips {
		d.AddClusterIPs = append(d.AddClusterIPs, a)
	}
	for a := range r.local {
		d.AddLocal = append(d.AddLocal, a)
	}
	return d
}

// HealthChecks are the health checks of all services, by service.
func (r *Ruleset) HealthChecks() map[string]Health {
	out := map[string]Health{}
	for name, s := range r.services {
		if s.Health != nil {
			out[name] = *s.Health
		}
	}
	return out
}

func compareBackends(a, b netip.AddrPort) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Port(), b.Port()))
}
