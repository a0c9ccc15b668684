package nft

import (
	"fmt"
	"time"

	nf "sampan.dev/internal/node/nft"
	"sampan.dev/internal/node/proxy"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// kind names a balancing chain: all services that differ in nothing of this share one.
type kind struct {
	masquerade proxy.Masquerade
	affinity   uint32
	backends   uint32
	nodePort   bool
	near       bool
}

func (k kind) String() string {
	name := map[proxy.Masquerade]string{proxy.Strangers: "cluster", proxy.Everyone: "external", proxy.Nobody: "local", proxy.Self: "near"}[k.masquerade]
	if k.near && k.masquerade != proxy.Self {
		name = "near-" + name
	}
	if k.nodePort {
		name += "-nodeport"
	}
	if k.affinity > 0 {
		name += fmt.Sprintf("-affinity%d", k.affinity)
	}
	return fmt.Sprintf("%s-%d", name, k.backends)
}

// addChain adds the balancing chain of a kind.
func (t *table) addChain(b *nf.Batch, k kind) {
	c := b.AddChain(&nftables.Chain{Table: t.Table, Name: k.String()})
	setMark := nf.Exprs{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: nf.R0},
		&expr.Bitwise{SourceRegister: nf.R0, DestRegister: nf.R0, Len: 4, Mask: nf.Native32(^uint32(masqMark)), Xor: nf.Native32(masqMark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: nf.R0},
	}
	switch k.masquerade {
	case proxy.Strangers:
		var stranger nf.Exprs
		for _, p := range t.pods {
			stranger = append(stranger, nf.SrcAddr(t.Family, nf.R0)...)
			stranger = append(stranger, nf.Outside(nf.R0, p)...)
		}
		if len(t.pods) > 0 {
			b.Rule(c, stranger, setMark)
		}
	case proxy.Everyone:
		b.Rule(c, setMark)
	case proxy.Self:
		b.Rule(c, nf.FromLocal(), setMark)
	case proxy.Nobody:
	}
	if k.affinity > 0 {
		t.affine(b, c, k)
	} else {
		t.spread(b, c, k)
	}
}

// key loads what the connection is addressed to, as its service's elements name it.
func (t *table) key(k kind, reg uint32) nf.Exprs {
	if k.nodePort {
		return t.nodePort(reg)
	}
	return t.address(reg)
}

func (k kind) slot(reg uint32) nf.Exprs {
	n := &expr.Numgen{Register: reg, Modulus: k.backends, Type: unix.NFT_NG_RANDOM}
	if k.near {
		n.Offset = nearSlot
	}
	return nf.Exprs{n}
}

func (t *table) spread(b *nf.Batch, c *nftables.Chain, k kind) {
	slot := nf.R0 + t.width + 2
	b.Rule(c, t.key(k, nf.R0), k.slot(slot), nf.Map(t.endpoints, nf.R0, nf.R0), nf.DNAT(t.Family, nf.R0, nf.R0+t.width))
}

// affine sends a client where it went before, as long as that is still a backend, and else anywhere, and remembers that.
// What it remembers is a number of the backend (see numbers), so that one that is gone leads nowhere.
//
// The number travels in the packet's priority. It could stay in a register, but nft 1.0.6 (Debian 12) aborts when it prints
// a map's result inside a key; a packet's field it can print. The priority is free here: forwarding sets it anew, and of
// this machine's own connections it is only the first packet's. The mark would be worse, since routing looks at it.
func (t *table) affine(b *nf.Batch, c *nftables.Chain, k kind) {
	client, address := uint32(nf.R0), nf.R0+t.width
	number := address + t.width + 2
	load := append(nf.SrcAddr(t.Family, client), t.key(k, address)...)
	carry := nf.Exprs{&expr.Meta{Key: expr.MetaKeyPRIORITY, SourceRegister: true, Register: number}}
	carried := nf.Exprs{&expr.Meta{Key: expr.MetaKeyPRIORITY, Register: number}}
	send := append(nf.Map(t.numbered, address, client), nf.DNAT(t.Family, client, client+t.width)...)
	b.Rule(c, load, nf.Map(t.affinity, client, number), carry, carried, t.remember(client, number, k), send)
	b.Rule(c, t.key(k, address), k.slot(number), nf.Map(t.slots, address, number), carry,
		load, carried, t.forget(client, number), t.remember(client, number, k), send)
}

func (t *table) remember(client, number uint32, k kind) nf.Exprs {
	return nf.Exprs{&expr.Dynset{SrcRegKey: client, SrcRegData: number, SetName: t.affinity.Name, SetID: t.affinity.ID,
		Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: time.Duration(k.affinity) * time.Second}}
}

// forget removes what affinity says of a client, so that remember takes the new backend: an update of an element that is
// there keeps its data.
func (t *table) forget(client, number uint32) nf.Exprs {
	const opDelete = 2 // NFT_DYNSET_OP_DELETE, of Linux 5.4
	return nf.Exprs{&expr.Dynset{SrcRegKey: client, SrcRegData: number, SetName: t.affinity.Name, SetID: t.affinity.ID, Operation: opDelete}}
}
