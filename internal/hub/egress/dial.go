package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"sampan.dev/internal/addr"
)

// ErrNotAllowed is the error of an address that nothing may be reached at; its text is upstream's.
var ErrNotAllowed = errors.New("address not allowed")

// Config says what a Dialer keeps away from. The zero value keeps away from what no cluster has ([addr.Special]).
type Config struct {
	// Never are ranges in which nobody is dialled: that of the services, whose addresses are rules and not machines.
	Never []netip.Prefix
	// Own are listeners of this process; an unspecified address stands for every address of the machine. It is asked at each
	// connection.
	Own func() []netip.AddrPort

	// Resolve, Local and Dial replace the resolver, the machine's own addresses and the network (tests, tunnels). What Dial is
	// given has been resolved and looked at.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Local   func() []netip.Addr
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	// DialWritten is Dial for addresses that an administrator has written down, which are not the cluster's. Nil is the network's.
	DialWritten func(ctx context.Context, network, address string) (net.Conn, error)
	// DialNode is Dial for an address of a node's, where tunnels tell nodes apart that have the same address. Nil is Dial.
	DialNode func(ctx context.Context, node, network, address string) (net.Conn, error)
}

// Dialer makes connections. Its zero value is not usable; see New.
type Dialer struct{ cfg Config }

// New makes a dialer.
func New(cfg Config) *Dialer {
	if cfg.Own == nil {
		cfg.Own = func() []netip.AddrPort { return nil }
	}
	if cfg.Resolve == nil {
		cfg.Resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if cfg.Local == nil {
		cfg.Local = localAddrs
	}
	network := (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext
	if cfg.Dial == nil {
		cfg.Dial = network
	}
	if cfg.DialWritten == nil {
		cfg.DialWritten = network
	}
	if cfg.DialNode == nil {
		cfg.DialNode = func(ctx context.Context, _, network, address string) (net.Conn, error) {
			return cfg.Dial(ctx, network, address)
		}
	}
	return &Dialer{cfg}
}

// DialContext connects to HOST:PORT, trying each address that a name stands for and that is allowed.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return d.first(ctx, address, func(to string) (net.Conn, error) { return d.cfg.Dial(ctx, network, to) })
}

// DialWritten is DialContext for what an administrator has written down who may do anything with the cluster: the URL of a webhook.
// If that is an address of this machine's loopback, or "localhost", it is meant so; a name that turns out to stand for one is not.
// The API server's own listeners are kept away from there too.
func (d *Dialer) DialWritten(ctx context.Context, network, address string) (net.Conn, error) {
	dial := func(to string) (net.Conn, error) { return d.cfg.DialWritten(ctx, network, to) }
	host, port, err := split(address)
	if err != nil {
		return nil, err
	}
	to, err := netip.ParseAddr(host)
	if strings.EqualFold(host, "localhost") {
		to, err = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	if err != nil || !to.IsLoopback() || to.Is4In6() {
		return d.first(ctx, address, dial)
	}
	at := netip.AddrPortFrom(to, port)
	r := rules{own: d.cfg.Own(), local: d.cfg.Local}
	if reason := r.mine(at); reason != "" {
		return nil, fmt.Errorf("%w: %s is %s", ErrNotAllowed, at, reason)
	}
	return dial(at.String())
}

// DialNode is DialContext for an address of the node.
func (d *Dialer) DialNode(ctx context.Context, node, network, address string) (net.Conn, error) {
	return d.first(ctx, address, func(to string) (net.Conn, error) { return d.cfg.DialNode(ctx, node, network, to) })
}

// first connects to the first address that can be reached of those that HOST:PORT stands for.
func (d *Dialer) first(ctx context.Context, address string, dial func(to string) (net.Conn, error)) (net.Conn, error) {
	to, err := d.targets(ctx, address)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range to {
		c, err := dial(a.String())
		if err == nil {
			return c, nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	if len(errs) == 1 {
		return nil, errs[0]
	}
	return nil, errors.Join(errs...)
}

// Refused tells beforehand what DialContext would say of HOST:PORT as it is written; a name is not looked up for it.
func (d *Dialer) Refused(address string) error {
	host, port, err := split(address)
	if err != nil {
		return err
	}
	a, err := netip.ParseAddr(host)
	if err != nil && !addr.Numeric(host) {
		return nil
	}
	_, err = d.allowed([]netip.Addr{a}, port)
	return err
}

// targets are the addresses that HOST:PORT may be reached at, at least one.
func (d *Dialer) targets(ctx context.Context, address string) ([]netip.AddrPort, error) {
	host, port, err := split(address)
	if err != nil {
		return nil, err
	}
	addrs, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	return d.allowed(addrs, port)
}

func (d *Dialer) allowed(addrs []netip.Addr, port uint16) ([]netip.AddrPort, error) {
	r := rules{never: d.cfg.Never, own: d.cfg.Own(), local: d.cfg.Local}
	var out []netip.AddrPort
	why := "there is none"
	for _, a := range addrs {
		to := netip.AddrPortFrom(a, port)
		if reason := r.refuse(to); reason != "" {
			why = to.String() + " is " + reason
			continue
		}
		out = append(out, to)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNotAllowed, why)
	}
	return out, nil
}

func split(address string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 {
		return "", 0, fmt.Errorf("%q is not a port", p)
	}
	return host, uint16(n), nil
}

// resolve takes an address as it is written, so that a form that means another one is seen, and looks a name up.
func (d *Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if addr.Numeric(host) {
		return nil, fmt.Errorf("%w: %q is neither an address nor a name", ErrNotAllowed, host)
	}
	addrs, err := d.cfg.Resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap() // resolvers write IPv4 so
	}
	return addrs, nil
}

// localAddrs are the addresses of the machine's links, now.
func localAddrs() []netip.Addr {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	out := make([]netip.Addr, 0, len(all))
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}
