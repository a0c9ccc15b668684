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
// Registers: client, address, protocol, port, then backend and its port; so the key of affinity, of endpoints (with the slot
// where the backend comes to lie) and of sticky each lie in one piece.
//
// The kernel is content with this, but nft 1.0.6 (Debian 12) aborts when it prints a rule in which a map's result becomes
// part of a key or another map's data: it takes the length of such a result for zero. While a service with affinity exists,
// `nft list ruleset` fails there.
func (t *table) affine(b *nf.Batch, c *nftables.Chain, k kind) {
	client, address := uint32(nf.R0), nf.R0+t.width
	backend := address + t.width + 2
	load := append(nf.SrcAddr(t.Family, client), t.key(k, address)...)
	remember := nf.Exprs{&expr.Dynset{SrcRegKey: client, SrcRegData: backend, SetName: t.affinity.Name, SetID: t.affinity.ID,
		Operation: unix.NFT_DYNSET_OP_UPDATE, Timeout: time.Duration(k.affinity) * time.Second}}
	dnat := nf.DNAT(t.Family, backend, backend+t.width)
	b.Rule(c, load, nf.Map(t.affinity, client, backend), nf.In(t.sticky, address), remember, dnat)
	b.Rule(c, load, k.slot(backend), nf.Map(t.endpoints, address, backend), t.forget(client, backend), remember, dnat)
}

// forget removes what affinity says of a client, so that remember takes the new backend: an update of an element that is
// there keeps its data.
func (t *table) forget(client, backend uint32) nf.Exprs {
	const opDelete = 2 // NFT_DYNSET_OP_DELETE, of Linux 5.4
	return nf.Exprs{&expr.Dynset{SrcRegKey: client, SrcRegData: backend, SetName: t.affinity.Name, SetID: t.affinity.ID, Operation: opDelete}}
}
