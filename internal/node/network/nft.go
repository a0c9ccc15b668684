package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	nf "sampan.dev/internal/node/nft"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"
)

// rules is the instance's table. Its rules do not change with pods; host ports are elements of its maps:
//
//	ports    protocol . port            → pod address . port   (every address of this machine)
//	ports-at address . protocol . port  → pod address . port   (one address)
//	loops    pod address . pod address: pods that may meet themselves through a host port, so that their answers come back
type rules struct {
	n                    names
	table                *nftables.Table
	ports, portsAt, loop *nftables.Set
	watch                *nf.Watch

	mu            sync.Mutex
	cluster, pods netip.Prefix
	exposed       map[*lease]bool // whose ports are in the maps
}

const family = nftables.TableFamilyIPv4

func newRules(n names) *rules {
	r := &rules{n: n, table: &nftables.Table{Name: n.table(), Family: family},
		watch: nf.NewWatch(n.table(), family), exposed: map[*lease]bool{}}
	to := nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	at := func(name string, key ...nftables.SetDatatype) *nftables.Set {
		return &nftables.Set{Table: r.table, Name: name, KeyType: nftables.MustConcatSetType(key...), Concatenation: true}
	}
	r.ports = at("ports", nftables.TypeInetProto, nftables.TypeInetService)
	r.portsAt = at("ports-at", nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	r.ports.IsMap, r.ports.DataType = true, to
	r.portsAt.IsMap, r.portsAt.DataType = true, to
	r.loop = at("loops", nftables.TypeIPAddr, nftables.TypeIPAddr)
	return r
}

// install replaces the table by one for these ranges and leases, in one step.
func (r *rules) install(cluster, pods netip.Prefix, leases []*lease) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cluster, r.pods, r.exposed = cluster, pods, map[*lease]bool{}
	for _, le := range leases {
		r.exposed[le] = true
	}
	return r.make()
}

// made tells whether install was called.
func (r *rules) made() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pods.IsValid()
}

// repair makes anew what others removed.
func (r *rules) repair() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.pods.IsValid() {
		return nil
	}
	return r.make()
}

// make replaces the table by what it should be. mu is held.
func (r *rules) make() error {
	b := r.watch.Batch()
	b.Fresh(r.table)
	b.Set(r.ports)
	b.Set(r.portsAt)
	b.Set(r.loop)
	r.dnatChains(b)
	r.postrouting(b, r.cluster, r.pods)
	guard := r.chain(b, "guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, *nftables.ChainPriorityRaw)
	// Host ports on 127.0.0.1 need route_localnet on the pods' links; without this a pod could reach the host's loopback.
	b.Rule(guard, nf.InName(r.n.prefix()), nf.DstAddr(family, nf.R0), nf.Within(nf.R0, loopback), nf.Drop())
	for le := range r.exposed {
		r.add(b, le)
	}
	return b.Commit()
}

var (
	loopback  = netip.MustParsePrefix("127.0.0.0/8")
	multicast = netip.MustParsePrefix("224.0.0.0/4")
)

func (r *rules) chain(b *nf.Batch, name string, typ nftables.ChainType, hook *nftables.ChainHook, prio nftables.ChainPriority) *nftables.Chain {
	return b.AddChain(&nftables.Chain{Table: r.table, Name: name, Type: typ, Hooknum: hook, Priority: &prio})
}

// dnatChains come just before the services' ones.
func (r *rules) dnatChains(b *nf.Batch) {
	prio := *nftables.ChainPriorityNATDest - 1
	for _, c := range []*nftables.Chain{
		r.chain(b, "prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, prio),
		r.chain(b, "output", nftables.ChainTypeNAT, nftables.ChainHookOutput, prio),
	} {
		b.Rule(c, nf.DstAddr(family, nf.R0), nf.L4Proto(nf.R1), nf.DstPort(nf.R2), nf.Map(r.portsAt, nf.R0, nf.R0), nf.DNAT(family, nf.R0, nf.R1))
		b.Rule(c, nf.ToLocal(), nf.L4Proto(nf.R0), nf.DstPort(nf.R1), nf.Map(r.ports, nf.R0, nf.R0), nf.DNAT(family, nf.R0, nf.R1))
	}
}

func (r *rules) postrouting(b *nf.Batch, cluster, pods netip.Prefix) {
	c := r.chain(b, "postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	b.Rule(c, nf.SrcAddr(family, nf.R0), nf.DstAddr(family, nf.R1), nf.In(r.loop, nf.R0), nf.Masquerade())
	b.Rule(c, nf.OutName(r.n.prefix()), nf.SrcAddr(family, nf.R0), nf.Within(nf.R0, loopback), nf.Masquerade())
	b.Rule(c, nf.SrcAddr(family, nf.R0), nf.Within(nf.R0, pods),
		nf.DstAddr(family, nf.R0), nf.Outside(nf.R0, cluster),
		nf.DstAddr(family, nf.R0), nf.Outside(nf.R0, multicast), nf.Masquerade())
}

// expose adds a lease's host ports; hide removes them.
func (r *rules) expose(le *lease) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exposed[le] = true
	err := r.change(le, r.add)
	if err != nil {
		delete(r.exposed, le)
	}
	return err
}

func (r *rules) hide(le *lease) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.exposed, le)
	return r.change(le, func(b *nf.Batch, le *lease) {
		ports, portsAt, loop := r.elements(le)
		b.Remove(r.ports, ports)
		b.Remove(r.portsAt, portsAt)
		b.Remove(r.loop, loop)
	})
}

func (r *rules) change(le *lease, how func(*nf.Batch, *lease)) error {
	if len(le.Ports) == 0 || !r.pods.IsValid() {
		return nil // what is exposed gets into the table with the table
	}
	b := r.watch.Batch()
	how(b, le)
	err := b.Commit()
	if errors.Is(err, unix.ENOENT) { // somebody was at the table
		err = r.make()
	}
	if err != nil {
		return fmt.Errorf("host ports of %s: %w", le.Address, err)
	}
	return nil
}

func (r *rules) add(b *nf.Batch, le *lease) {
	ports, portsAt, loop := r.elements(le)
	b.Add(r.ports, ports)
	b.Add(r.portsAt, portsAt)
	b.Add(r.loop, loop)
}

func (r *rules) elements(le *lease) (ports, portsAt, loop []nftables.SetElement) {
	for _, p := range le.Ports {
		proto, ok := protocols[p.Protocol]
		if !ok || p.HostPort <= 0 {
			continue
		}
		val := slices.Concat(nf.AddrKey(le.Address), nf.PortKey(uint16(p.ContainerPort)))
		key := slices.Concat(nf.ProtoKey(proto), nf.PortKey(uint16(p.HostPort)))
		at, err := netip.ParseAddr(p.HostIP)
		switch {
		case p.HostIP == "" || err == nil && at.IsUnspecified():
			ports = append(ports, nftables.SetElement{Key: key, Val: val})
		case err == nil && at.Is4():
			portsAt = append(portsAt, nftables.SetElement{Key: slices.Concat(nf.AddrKey(at), key), Val: val})
		}
	}
	if len(ports)+len(portsAt) > 0 {
		loop = []nftables.SetElement{{Key: slices.Concat(nf.AddrKey(le.Address), nf.AddrKey(le.Address))}}
	}
	return ports, portsAt, loop
}

var protocols = map[string]uint8{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "sctp": unix.IPPROTO_SCTP}
