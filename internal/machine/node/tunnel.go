package node

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"sampan.dev/internal/addr"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/tunnel/konnectivity/agent"
)

// startTunnel keeps the connections by which the control plane reaches this node, if it is to.
func (m *Machine) startTunnel(g *daemon.Group, s *Seat, name string) error {
	if !m.cfg.Tunnel || s.TLS == nil {
		return nil
	}
	servers := m.cfg.TunnelServers
	if len(servers) == 0 {
		u, err := url.Parse(s.Server)
		if err != nil || u.Hostname() == "" {
			return fmt.Errorf("--tunnel: %q names no host; say --tunnel-server", s.Server)
		}
		servers = []string{net.JoinHostPort(u.Hostname(), config.TunnelPort)}
	}
	direct := &net.Dialer{}
	a := agent.New(agent.Config{
		Servers: servers, ID: name, Identifiers: url.Values{"host": {name}}.Encode(), TLS: s.TLS, Log: m.log.With("component", "tunnel"),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if err := reachable(address); err != nil {
				return nil, err
			}
			return direct.DialContext(ctx, network, address)
		},
	})
	g.Go("tunnel", a.Run)
	return nil
}

// reachable refuses what the control plane has no business with on a node: what listens on its loopback, and what a cloud answers
// on link-local addresses.
func reachable(address string) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%q is not an address", address)
	}
	if what := addr.Special(to.Addr()); what != "" {
		return fmt.Errorf("address not allowed: %s is %s", address, what)
	}
	return nil
}
