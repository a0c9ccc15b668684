package plane

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"

	nodeflag "sampan.dev/internal/component/kubelet"
	"sampan.dev/internal/config"
	"sampan.dev/internal/daemon"
	"sampan.dev/internal/machine/further"
	"sampan.dev/internal/node/hostnet"
	"sampan.dev/internal/node/network"
)

// Where the API server listens, what it says that it listens on, and how both follow the host. What is advertised is listened
// on: to pods the host's loopback is their own, so a server that is to be on loopback only is also on the gateway of the pods,
// or with several nodes on their bridge, which nobody else can reach.

// onLoopback tells whether the API server is to be reached from this machine only.
func onLoopback(cfg config.Config) bool {
	host, _, _ := net.SplitHostPort(cfg.Listen)
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// OpenListener takes the API server's port, on the bridge of the nodes if that is where it is to be.
func OpenListener(cfg config.Config) (net.Listener, error) {
	if cfg.Nodes > 1 {
		if err := further.MakeBridge(cfg); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("--listen %s: %w", cfg.Listen, err)
	}
	if !onLoopback(cfg) || cfg.NoNode {
		return l, nil
	}
	all := newListeners(l)
	ip, err := advertised(cfg)
	if err == nil {
		err = all.also(ip)
	}
	if err != nil {
		all.Close()
		return nil, fmt.Errorf("--listen %s: for pods: %w", cfg.Listen, err)
	}
	return all, nil
}

// advertised is the address that others reach the API server at: the one it listens on; or the node's when it listens on all;
// or what pods reach when it listens on loopback, which is no use to others (and no endpoint may have one).
func advertised(cfg config.Config) (net.IP, error) {
	host, _, _ := net.SplitHostPort(cfg.Listen)
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && !ip.IsLoopback() {
		return ip, nil
	}
	if cfg.Nodes > 1 {
		return further.NodeAddr(cfg, 1).AsSlice(), nil
	}
	if onLoopback(cfg) && !cfg.NoNode {
		return podGateway(cfg).AsSlice(), nil
	}
	if ips, _ := nodeflag.NodeIPs(cfg.NodeIP); len(ips) > 0 {
		return ips[0], nil
	}
	return hostnet.Address()
}

// podGateway is the gateway that this machine's pods had last, or on a new cluster the one that they will have: its first
// node gets the first range.
func podGateway(cfg config.Config) netip.Addr {
	pods, ok := network.SavedRange(cfg.DataDir)
	if !ok {
		pods = netip.MustParsePrefix(cfg.ClusterCIDR)
	}
	return network.Gateway(pods.Masked())
}

// Reach makes the API server reachable at the pods' gateway if that is what it is to be and the guess was wrong.
func (p *Plane) Reach(listener net.Listener, gateway netip.Addr) error {
	l, ok := listener.(*listeners)
	if !ok || p.cfg.Nodes > 1 || gateway == p.Advertise.Load().Addr() || !gateway.IsValid() {
		return nil
	}
	if err := l.also(gateway.AsSlice()); err != nil {
		return fmt.Errorf("--listen %s: for pods: %w", p.cfg.Listen, err)
	}
	return p.move(gateway)
}

// ReachSaved is Reach for a node that is a process of its own and keeps its range in the data directory.
func (p *Plane) ReachSaved(listener net.Listener) error {
	return p.Reach(listener, podGateway(p.cfg.Config))
}

// move gives the API server another address.
func (p *Plane) move(to netip.Addr) error {
	names, ips := apiNames(p.cfg.Config, to.AsSlice())
	if err := p.Pki.Rename(names, ips); err != nil {
		return fmt.Errorf("certificate for %s: %w", to, err)
	}
	was := p.Advertise.Load()
	if to == was.Addr() {
		return nil
	}
	now := netip.AddrPortFrom(to, was.Port())
	p.Advertise.Store(&now)
	select {
	case <-p.moved: // where it is no longer
	default:
	}
	p.moved <- now
	return nil
}

// HostChanged follows the host's address. While there is no default route it keeps the one it has.
func (p *Plane) HostChanged() {
	to := p.Advertise.Load().Addr()
	if _, err := hostnet.Routed(); err == nil {
		if ip, err := advertised(p.cfg.Config); err == nil {
			if a, ok := netip.AddrFromSlice(ip); ok && !onLoopback(p.cfg.Config) {
				to = a.Unmap()
			}
		}
	}
	if err := p.move(to); err != nil {
		p.log.Error("cannot follow the host's address", "error", err)
	}
}

// apiNames are what the API server's certificate is for, apart from the names that it has in every cluster.
func apiNames(cfg config.Config, advertise net.IP) (names []string, ips []net.IP) {
	names = append([]string{"localhost"}, nonAddresses(cfg.TLSSANs)...)
	ips = append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback, advertise}, addresses(cfg.TLSSANs)...)
	if host, err := hostnet.Address(); err == nil {
		ips = append(ips, host)
	}
	if h, err := os.Hostname(); err == nil {
		names = append(names, h)
	}
	return names, ips
}

func addresses(list []string) []net.IP {
	var out []net.IP
	for _, s := range list {
		if ip := net.ParseIP(s); ip != nil {
			out = append(out, ip)
		}
	}
	return out
}

func nonAddresses(list []string) []string {
	var out []string
	for _, s := range list {
		if net.ParseIP(s) == nil {
			out = append(out, s)
		}
	}
	return out
}

// LocalAddress is where a program on this machine reaches what listens on ADDR:PORT; the port is a number, or the name of one.
func LocalAddress(listen string) string {
	host, port, _ := net.SplitHostPort(listen)
	if n, err := net.LookupPort("tcp", port); err == nil {
		port = fmt.Sprint(n)
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// LocalURL is where a program on this machine reaches the API server.
func (p *Plane) LocalURL() string {
	host, _, _ := net.SplitHostPort(p.cfg.Listen)
	return "https://" + LocalAddress(net.JoinHostPort(host, fmt.Sprint(p.Advertise.Load().Port()))) // --listen may leave the port open
}

// FollowHost calls parts, one after the other, whenever the machine's own network has changed.
func FollowHost(g *daemon.Group, parts ...func()) {
	g.Go("host", func(ctx context.Context) error {
		return hostnet.Watch(ctx, func() {
			for _, changed := range parts {
				changed()
			}
		})
	})
}
