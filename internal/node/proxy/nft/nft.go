package nft

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	nf "sampan.dev/internal/node/nft"
	"sampan.dev/internal/node/proxy"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Config says whose table it is.
type Config struct {
	Instance string         // of the cluster on this machine, "" for the default
	V6       bool           // the IPv6 table rather than the IPv4 one
	Pods     []netip.Prefix // pods' addresses; clients from elsewhere are masqueraded to cluster addresses. May be empty.
	Log      *slog.Logger   // may be nil
}

// Applier keeps one address family's table. One goroutine uses it, another runs it.
type Applier struct {
	cfg    Config
	log    *slog.Logger
	watch  *nf.Watch
	stale  *stale
	table  *table
	chains map[kind]bool // those that are in the kernel
}

// New makes an applier; Reset comes before Apply.
func New(cfg Config) *Applier {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("component", "proxy")
	return &Applier{cfg: cfg, log: log, watch: nf.NewWatch(tableName(cfg.Instance), familyOf(cfg.V6)), stale: newStale(cfg.V6, log)}
}

// Supported reports why nf_tables cannot be used here, or nil. It asks the kernel once in the life of a process.
var Supported = sync.OnceValue(func() error {
	b := nf.NewBatch()
	t := b.AddTable(&nftables.Table{Name: "sampan-probe", Family: nftables.TableFamilyIPv4})
	b.DelTable(t)
	return b.Commit()
})

// Cleanup removes an instance's tables.
func Cleanup(instance string) error { return nf.DropTables(tableName(instance)) }

// Mode implements proxy.Applier.
func (a *Applier) Mode() string { return "nftables" }

// Run implements proxy.Applier.
func (a *Applier) Run(ctx context.Context, lost func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); a.stale.run(ctx) }()
	err := a.watch.Run(ctx, lost)
	if err != nil { // then the rules are only made anew when a change fails
		a.log.Error("cannot see what others do to the rules of services", "err", err)
		<-ctx.Done()
	}
	<-done
	return nil
}

// Reset implements proxy.Applier: it replaces the table, whatever became of it, in one step.
func (a *Applier) Reset(all *proxy.Delta) error {
	a.table = newTable(a.cfg.Instance, a.cfg.V6, a.cfg.Pods)
	a.chains = map[kind]bool{}
	b := a.watch.Batch()
	a.table.create(b)
	return a.commit(b, all)
}

// Apply implements proxy.Applier.
func (a *Applier) Apply(d *proxy.Delta) error {
	if a.table == nil {
		return errors.New("nftables: apply before reset")
	}
	return a.commit(a.watch.Batch(), d)
}

func (a *Applier) commit(b *nf.Batch, d *proxy.Delta) error {
	c := a.elements(d)
	added := a.addChains(b, d)
	for _, s := range c.order {
		b.Remove(s.set, s.del)
	}
	for _, s := range c.order {
		b.Add(s.set, s.add)
	}
	if err := b.Commit(); err != nil {
		return err
	}
	for _, k := range added {
		a.chains[k] = true
	}
	a.stale.add(staleFlows(d, a.cfg.V6))
	return nil
}

// addChains adds the balancing chains that the new entries need and the kernel has not.
func (a *Applier) addChains(b *nf.Batch, d *proxy.Delta) []kind {
	var added []kind
	need := func(key proxy.Key, bal *proxy.Balance, near bool) {
		if k := kindOf(key, bal, near); bal != nil && !a.chains[k] && !slices.Contains(added, k) {
			a.table.addChain(b, k)
			added = append(added, k)
		}
	}
	for key, ch := range d.Changes {
		if ch.New != nil && a.mine(key) {
			need(key, ch.New.Front, false)
			need(key, ch.New.Near, true)
		}
	}
	return added
}

func kindOf(key proxy.Key, bal *proxy.Balance, near bool) kind {
	if bal == nil {
		return kind{}
	}
	return kind{bal.Masquerade, bal.Affinity, uint32(len(bal.Backends)), !key.Addr.IsValid(), near}
}

// mine tells whether a key is of this table's family.
func (a *Applier) mine(k proxy.Key) bool { return !k.Addr.IsValid() || k.Addr.Is6() == a.cfg.V6 }

// elements turns a delta into elements to remove and to add, leaving out what stays as it is.
func (a *Applier) elements(d *proxy.Delta) *changes {
	t := a.table
	c := newChanges(t.fronts, t.near, t.refused, t.endpoints, t.slots, t.numbered, t.clusterIPs, t.hairpins, t.guarded, t.allowed)
	for key, ch := range d.Changes {
		if !a.mine(key) {
			continue
		}
		before, after := a.entry(key, ch.Old), a.entry(key, ch.New)
		for id, e := range before {
			if o, ok := after[id]; !ok || !e.equal(o) {
				c.sets[e.set].del = append(c.sets[e.set].del, e.element)
			}
		}
		for id, e := range after {
			if o, ok := before[id]; !ok || !e.equal(o) {
				c.sets[e.set].add = append(c.sets[e.set].add, e.element)
			}
		}
	}
	single := func(s *nftables.Set, add, del []netip.Addr, times int) {
		for _, x := range add {
			c.sets[s].add = append(c.sets[s].add, nftables.SetElement{Key: slices.Repeat(x.AsSlice(), times)})
		}
		for _, x := range del {
			c.sets[s].del = append(c.sets[s].del, nftables.SetElement{Key: slices.Repeat(x.AsSlice(), times)})
		}
	}
	single(t.clusterIPs, d.AddClusterIPs, d.DelClusterIPs, 1)
	single(t.hairpins, d.AddLocal, d.DelLocal, 2)
	return c
}

// entry is everything the kernel has for one key.
func (a *Applier) entry(key proxy.Key, e *proxy.Entry) placement {
	out := placement{}
	if e == nil {
		return out
	}
	front := a.keyBytes(key)
	a.balance(out, a.table.fronts, key, front, e.Front, false)
	a.balance(out, a.table.near, key, front, e.Near, true)
	if len(e.Allow) > 0 {
		out.put(a.table.guarded, nftables.SetElement{Key: front})
	}
	for _, p := range e.Allow {
		first, last := bounds(p)
		out.put(a.table.allowed, nftables.SetElement{Key: slices.Concat(front, first), KeyEnd: slices.Concat(front, last)})
	}
	switch e.Refuse {
	case proxy.Reject:
		out.put(a.table.refused, nftables.SetElement{Key: front, VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: "reject"}})
	case proxy.Drop:
		out.put(a.table.refused, nftables.SetElement{Key: front, VerdictData: &expr.Verdict{Kind: expr.VerdictDrop}})
	case proxy.NotRefused:
	}
	return out
}

func (a *Applier) balance(out placement, set *nftables.Set, key proxy.Key, front []byte, bal *proxy.Balance, near bool) {
	if bal == nil {
		return
	}
	chain := kindOf(key, bal, near).String()
	out.put(set, nftables.SetElement{Key: front, VerdictData: &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}})
	var base uint32
	if near {
		base = nearSlot
	}
	var number map[netip.AddrPort]uint32
	if bal.Affinity > 0 {
		number = numbers(bal.Backends, near)
	}
	for i, be := range bal.Backends {
		to := slices.Concat(be.Addr().AsSlice(), nf.PortKey(be.Port()))
		slot := slices.Concat(front, nf.Native32(base+uint32(i)))
		if bal.Affinity == 0 {
			out.put(a.table.endpoints, nftables.SetElement{Key: slot, Val: to})
			continue
		}
		n := nf.Native32(number[be])
		out.put(a.table.slots, nftables.SetElement{Key: slot, Val: n})
		out.put(a.table.numbered, nftables.SetElement{Key: slices.Concat(front, n), Val: to})
	}
}

// numbers gives each backend of a service a number that stays its own while others come and go: affinity remembers it.
// Those for near clients differ, since they may go where others may not. Two backends with one hash are told apart by
// their order; when that changes, their clients may change places.
func numbers(backends []netip.AddrPort, near bool) map[netip.AddrPort]uint32 {
	out, used := map[netip.AddrPort]uint32{}, map[uint32]bool{}
	for _, be := range backends {
		h := fnv.New32a()
		fmt.Fprint(h, be, near)
		n := h.Sum32()
		for used[n] {
			n++
		}
		out[be], used[n] = n, true
	}
	return out
}

// bounds are the first and the last address of a prefix.
func bounds(p netip.Prefix) (first, last []byte) {
	first = p.Masked().Addr().AsSlice()
	last = slices.Clone(first)
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 1 << (7 - i%8)
	}
	return first, last
}

func (a *Applier) keyBytes(k proxy.Key) []byte {
	addr := make([]byte, 4*a.table.width)
	if k.Addr.IsValid() {
		addr = k.Addr.AsSlice()
	}
	return slices.Concat(addr, nf.ProtoKey(k.Proto), nf.PortKey(k.Port))
}
