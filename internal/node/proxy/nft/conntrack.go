package nft

import (
	"net/netip"

	nf "sampan.dev/internal/node/nft"
	"sampan.dev/internal/node/proxy"

	"golang.org/x/sys/unix"
)

// staleFlows are the tracked UDP flows that a delta makes wrong. UDP has no end of connection: a flow that was sent to a
// backend that is gone, or to nobody because there was no backend yet, would stay so for as long as packets come.
func staleFlows(d *proxy.Delta, v6 bool) []nf.Flow {
	var out []nf.Flow
	for key, ch := range d.Changes {
		if key.Proto != unix.IPPROTO_UDP || key.Addr.IsValid() && key.Addr.Is6() != v6 {
			continue
		}
		was, is := backends(ch.Old), backends(ch.New)
		if len(was) == 0 && len(is) > 0 {
			out = append(out, nf.Flow{To: key.Addr, Port: key.Port})
			continue
		}
		for addr := range was {
			if !is[addr] {
				out = append(out, nf.Flow{To: key.Addr, Port: key.Port, Endpoint: addr})
			}
		}
	}
	return out
}

func backends(e *proxy.Entry) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	if e == nil {
		return out
	}
	for _, b := range []*proxy.Balance{e.Front, e.Near} {
		if b != nil {
			for _, be := range b.Backends {
				out[be.Addr()] = true
			}
		}
	}
	return out
}
