package nft

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	nf "sampan.dev/internal/node/nft"
	"sampan.dev/internal/node/proxy"

	"golang.org/x/sys/unix"
)

// stale ends tracked flows. Since that takes milliseconds, which a service must not wait for to work, it is done beside.
type stale struct {
	v6   bool
	log  *slog.Logger
	wake chan struct{}

	mu    sync.Mutex
	flows map[nf.Flow]bool
}

func newStale(v6 bool, log *slog.Logger) *stale {
	return &stale{v6: v6, log: log, wake: make(chan struct{}, 1), flows: map[nf.Flow]bool{}}
}

func (s *stale) add(flows []nf.Flow) {
	if len(flows) == 0 {
		return
	}
	s.mu.Lock()
	for _, f := range flows {
		s.flows[f] = true
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run spends a tenth of a processor, but lets no flow go astray for long.
func (s *stale) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		s.mu.Lock()
		flows := slices.Collect(maps.Keys(s.flows))
		clear(s.flows)
		s.mu.Unlock()
		start := time.Now()
		if err := nf.ForgetUDP(s.v6, flows); err != nil {
			s.log.Warn("cannot end tracked flows of services", "err", err) // the rules are right all the same
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(10*time.Since(start), 500*time.Millisecond)):
		}
	}
}

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
