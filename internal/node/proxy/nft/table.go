package nft

import (
	"net/netip"
	"slices"

	nf "sampan.dev/internal/node/nft"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// masqMark is the bit of the packet mark that asks for masquerade, the one kube-proxy uses.
const masqMark = 0x4000

// nearSlot is where the slots of backends for near clients begin.
const nearSlot = 1 << 20

// table is the fixed part: what is there before the first service. Keys of its maps, in the order they lie in registers:
//
//	fronts, near  address . protocol . port                    → goto a balancing chain
//	refused       the same                                     → reject or drop
//	endpoints     address . protocol . port . slot             → backend address . port
//	slots         the same, for services with affinity         → number of the backend
//	numbered      address . protocol . port . number           → backend address . port
//	affinity      client . address . protocol . port           → number of the backend, for a while
//	guarded       address . protocol . port                    (only for clients in allowed)
//	allowed       address . protocol . port . client range
//	cluster-ips   address
//	hairpins      backend . backend                            (a pod that may meet itself)
//
// The address of a node port is zero.
type table struct {
	*nftables.Table
	pods                      []netip.Prefix // where pods' addresses lie
	fronts, near, refused     *nftables.Set
	endpoints                 *nftables.Set
	slots, numbered, affinity *nftables.Set
	clusterIPs, hairpins      *nftables.Set
	guarded, allowed          *nftables.Set
	services                  *nftables.Chain
	width                     uint32 // registers that an address takes
}

// tableName is kube-proxy's for the default instance.
func tableName(instance string) string {
	if instance == "" {
		return "kube-proxy"
	}
	return "kube-proxy-" + instance
}

func familyOf(v6 bool) nftables.TableFamily {
	if v6 {
		return nftables.TableFamilyIPv6
	}
	return nftables.TableFamilyIPv4
}

func newTable(instance string, v6 bool, pods []netip.Prefix) *table {
	family, addr, width := familyOf(v6), nftables.TypeIPAddr, uint32(1)
	if v6 {
		addr, width = nftables.TypeIP6Addr, 4
	}
	t := &table{Table: &nftables.Table{Name: tableName(instance), Family: family}, width: width}
	for _, p := range pods {
		if p.Addr().Is6() == v6 {
			t.pods = append(t.pods, p)
		}
	}
	proto, port := nftables.TypeInetProto, nftables.TypeInetService
	set := func(name string, types ...nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Table: t.Table, Name: name, KeyType: nftables.MustConcatSetType(types...), Concatenation: len(types) > 1}
	}
	mapTo := func(s *nftables.Set, data nftables.SetDatatype) *nftables.Set {
		s.IsMap, s.DataType = true, data
		return s
	}
	backend := nftables.MustConcatSetType(addr, port)
	t.fronts = mapTo(set("fronts", addr, proto, port), nftables.TypeVerdict)
	t.near = mapTo(set("near", addr, proto, port), nftables.TypeVerdict)
	t.refused = mapTo(set("refused", addr, proto, port), nftables.TypeVerdict)
	t.endpoints = mapTo(set("endpoints", addr, proto, port, nftables.TypeMark), backend)
	number := nftables.TypeClassID // what the priority of a packet is to nft
	t.slots = mapTo(set("slots", addr, proto, port, nftables.TypeMark), number)
	t.numbered = mapTo(set("numbered", addr, proto, port, number), backend)
	t.affinity = mapTo(set("affinity", addr, addr, proto, port), number)
	t.affinity.Dynamic, t.affinity.HasTimeout, t.affinity.Size = true, true, 1<<16
	t.guarded = set("guarded", addr, proto, port)
	t.allowed = set("allowed", addr, proto, port, addr)
	t.allowed.Interval = true
	t.clusterIPs = set("cluster-ips", addr)
	t.hairpins = set("hairpins", addr, addr)
	return t
}

// create adds the fixed part to a batch, replacing what is there.
func (t *table) create(b *nf.Batch) {
	b.Fresh(t.Table)
	for _, s := range []*nftables.Set{t.fronts, t.near, t.refused, t.endpoints, t.slots, t.numbered, t.affinity, t.clusterIPs, t.hairpins, t.guarded, t.allowed} {
		b.Set(s)
	}
	reject := b.AddChain(&nftables.Chain{Table: t.Table, Name: "reject"})
	// A reset rather than ICMP, which the kernel sends a client only a few times a second.
	b.Rule(reject, nf.L4Proto(nf.R0), nf.Is(nf.R0, []byte{unix.IPPROTO_TCP}), nf.Exprs{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}})
	b.Rule(reject, nf.Exprs{t.unreachable()})
	t.services = b.AddChain(&nftables.Chain{Table: t.Table, Name: "services"})
	t.dispatch(b)
	for _, hook := range []struct {
		name string
		hook *nftables.ChainHook
	}{{"nat-prerouting", nftables.ChainHookPrerouting}, {"nat-output", nftables.ChainHookOutput}} {
		c := t.base(b, hook.name, nftables.ChainTypeNAT, hook.hook, nftables.ChainPriorityNATDest)
		b.Rule(c, nf.Jump("services"))
	}
	t.guard(b)
	t.masquerade(b)
	t.refuse(b)
}

// guard drops clients that a load balancer is not for, before their packets get another address.
func (t *table) guard(b *nf.Batch) {
	prio := *nftables.ChainPriorityNATDest - 10
	for _, c := range []*nftables.Chain{
		t.base(b, "guard-prerouting", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, &prio),
		t.base(b, "guard-output", nftables.ChainTypeFilter, nftables.ChainHookOutput, &prio),
	} {
		b.Rule(c, t.address(nf.R0), nf.In(t.guarded, nf.R0), nf.SrcAddr(t.Family, nf.R0+t.width+2), nf.NotIn(t.allowed, nf.R0), nf.Drop())
	}
}

func (t *table) base(b *nf.Batch, name string, typ nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
	return b.AddChain(&nftables.Chain{Table: t.Table, Name: name, Type: typ, Hooknum: hook, Priority: prio})
}

func (t *table) unreachable() expr.Any {
	if t.Family == nftables.TableFamilyIPv6 {
		return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 4}
	}
	return &expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 3} // port unreachable
}

// dispatch finds what a connection is addressed to. Clients on this node and pods look into near first, where those
// services are that treat them differently.
func (t *table) dispatch(b *nf.Batch) {
	near := append([]nf.Exprs{nf.FromLocal()}, t.fromPods()...)
	for _, from := range near {
		b.Rule(t.services, from, t.address(nf.R0), nf.VerdictMap(t.near, nf.R0))
	}
	b.Rule(t.services, t.address(nf.R0), nf.VerdictMap(t.fronts, nf.R0))
	// Node ports answer on every address of the node but loopback's: its packets may not leave by another link.
	ours := nf.ToLocal()
	if t.Family == nftables.TableFamilyIPv4 {
		ours = append(nf.Exprs{}, append(nf.DstAddr(t.Family, nf.R0), append(nf.Outside(nf.R0, loopback), ours...)...)...)
	}
	for _, from := range near {
		b.Rule(t.services, ours, from, t.nodePort(nf.R0), nf.VerdictMap(t.near, nf.R0))
	}
	b.Rule(t.services, ours, t.nodePort(nf.R0), nf.VerdictMap(t.fronts, nf.R0))
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

func (t *table) fromPods() []nf.Exprs {
	var out []nf.Exprs
	for _, p := range t.pods {
		out = append(out, append(nf.SrcAddr(t.Family, nf.R0), nf.Within(nf.R0, p)...))
	}
	return out
}

// address loads the key of what a packet is addressed to; nodePort the key of a node port, whose address is made zero from
// the packet's: nft prints that as what it is, a constant in a key it does not understand.
func (t *table) address(reg uint32) nf.Exprs {
	return append(nf.DstAddr(t.Family, reg), t.portKey(reg+t.width)...)
}

func (t *table) nodePort(reg uint32) nf.Exprs {
	zero := make([]byte, 4*t.width)
	none := &expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4 * t.width, Mask: zero, Xor: zero}
	return slices.Concat(nf.DstAddr(t.Family, reg), nf.Exprs{none}, t.portKey(reg+t.width))
}

func (t *table) portKey(reg uint32) nf.Exprs { return append(nf.L4Proto(reg), nf.DstPort(reg+1)...) }

func (t *table) masquerade(b *nf.Batch) {
	c := t.base(b, "nat-postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	marked := nf.Exprs{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: nf.R0},
		&expr.Bitwise{SourceRegister: nf.R0, DestRegister: nf.R1, Len: 4, Mask: nf.Native32(masqMark), Xor: nf.Native32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: nf.R1, Data: nf.Native32(0)},
		&expr.Bitwise{SourceRegister: nf.R0, DestRegister: nf.R0, Len: 4, Mask: nf.Native32(^uint32(masqMark)), Xor: nf.Native32(0)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: nf.R0},
	}
	b.Rule(c, marked, nf.Masquerade())
	b.Rule(c, nf.SrcAddr(t.Family, nf.R0), nf.DstAddr(t.Family, nf.R0+t.width), nf.In(t.hairpins, nf.R0), nf.Masquerade())
}

// refuse answers for services without backends, and for ports of cluster addresses that no service has. What has a backend
// carries the backend's address here.
func (t *table) refuse(b *nf.Batch) {
	for _, h := range []struct {
		name            string
		hook            *nftables.ChainHook
		nodePorts, rest bool
	}{
		{"filter-input", nftables.ChainHookInput, true, false},
		{"filter-forward", nftables.ChainHookForward, false, true},
		{"filter-output", nftables.ChainHookOutput, true, true},
	} {
		c := t.base(b, h.name, nftables.ChainTypeFilter, h.hook, nftables.ChainPriorityFilter)
		fresh := nf.Exprs{
			&expr.Ct{Key: expr.CtKeySTATE, Register: nf.R0},
			&expr.Bitwise{SourceRegister: nf.R0, DestRegister: nf.R0, Len: 4, Mask: nf.Native32(expr.CtStateBitNEW), Xor: nf.Native32(0)},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: nf.R0, Data: nf.Native32(0)},
		}
		b.Rule(c, fresh, t.address(nf.R0), nf.VerdictMap(t.refused, nf.R0))
		if h.nodePorts {
			b.Rule(c, fresh, nf.ToLocal(), t.nodePort(nf.R0), nf.VerdictMap(t.refused, nf.R0))
		}
		if h.rest {
			b.Rule(c, fresh, nf.DstAddr(t.Family, nf.R0), nf.In(t.clusterIPs, nf.R0), nf.Goto("reject"))
		}
	}
}
