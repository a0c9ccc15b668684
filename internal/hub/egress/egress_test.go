package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// machine is a dialer on a machine with two addresses, whose hub listens on all of them, whose etcd listens on one, and whose
// resolver knows a few names. What it connects to is written down instead.
func machine(names map[string][]string) (*Dialer, *[]string) {
	var dialled []string
	return New(Config{
		Never: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")},
		Own: func() []netip.AddrPort {
			return []netip.AddrPort{netip.MustParseAddrPort("[::]:6443"), netip.MustParseAddrPort("[::ffff:198.51.100.9]:2379")}
		},
		Local: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}
		},
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			var out []netip.Addr
			for _, a := range names[host] {
				out = append(out, netip.MustParseAddr(a))
			}
			if out == nil {
				return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
			}
			return out, nil
		},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return nil, fmt.Errorf("connected to %s", address)
		},
	}), &dialled
}

// Forms lists what leads where nobody is to be led, in as many ways of writing it as there are. The hub's own port is 6443 on
// 192.0.2.1 and 2001:db8::1.
var forms = []string{
	"127.0.0.1:6443", "127.0.0.1:80", "127.1.2.3:80", "[::1]:80", "[::1]:6443", "0.0.0.0:6443", "0.0.0.0:80", "[::]:6443", "[::]:80", "0.0.0.1:80",
	"192.0.2.1:6443", "[2001:db8::1]:6443", "198.51.100.9:2379",
	"[::ffff:127.0.0.1]:80", "[::ffff:7f00:1]:80", "[::ffff:192.0.2.1]:6443", "[::ffff:192.0.2.1]:80", "[::ffff:c000:201]:6443", "[::ffff:192.0.2.7]:80",
	"[::127.0.0.1]:80", "[::192.0.2.1]:6443", "[64:ff9b::127.0.0.1]:80", "[64:ff9b::c000:201]:6443", "[64:ff9b:1::7f00:1]:80", "[2002:7f00:1::]:80", "[2002:c000:201::1]:6443",
	"[2001:0:7f00:1::]:80", "[::ffff:0:127.0.0.1]:80",
	"169.254.169.254:80", "169.254.0.1:80", "[fe80::1]:80", "[fe80::1%eth0]:80", "[fe80::a9fe:a9fe]:80", "[fd00:ec2::254]:80", "[fd20:ce::254]:80", "100.100.100.200:80", "168.63.129.16:80",
	"224.0.0.1:80", "239.255.255.250:1900", "255.255.255.255:80", "240.0.0.1:80", "[ff02::1]:80", "[fec0::1]:80", "[2001:db8::7%1]:80",
	"10.96.0.1:443", "10.96.0.10:53", "10.96.255.255:6443",
	"2130706433:80", "3221225985:6443", "0x7f000001:80", "0x7f.1:80", "0x7F.0.0.1:80", "0177.0.0.1:80", "017700000001:80", "127.1:80", "127.0.1:80", "192.0.513:6443", "0300.0.2.1:6443",
	"192.0.2.01:6443", "192.000.002.001:6443", "192.0.2.1.:6443", "127.0.0.1.:80", "0:80", "00:80", "host.0x7f:80", ":80", ".:80", "..:80",
	"localhost:80", "localhost.:80", "LOCALHOST:80", "rebound.example:80", "mapped.example:80", "own.example:6443", "service.example:443", "metadata.example:80",
}

var names = map[string][]string{
	"localhost": {"127.0.0.1", "::1"}, "localhost.": {"127.0.0.1"}, "LOCALHOST": {"::1"}, "rebound.example": {"127.0.0.1"}, "mapped.example": {"::ffff:127.0.0.1"},
	"own.example": {"192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"}, "service.example": {"10.96.0.1"}, "metadata.example": {"169.254.169.254", "fd00:ec2::254"},
	"good.example": {"::ffff:192.0.2.7"}, "half.example": {"127.0.0.1", "192.0.2.7", "10.96.0.1", "192.0.2.8"},
}

func TestNothingLeadsBack(t *testing.T) {
	d, dialled := machine(names)
	for _, to := range forms {
		if _, err := d.DialContext(t.Context(), "tcp", to); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: %v", to, err)
		}
		host, _, _ := net.SplitHostPort(to)
		_, written := names[host]
		if err := d.Refused(to); !errors.Is(err, ErrNotAllowed) && !written {
			t.Errorf("%s beforehand: %v", to, err)
		}
	}
	if len(*dialled) > 0 {
		t.Errorf("connected to %v", *dialled)
	}
}

func TestOthersAreReached(t *testing.T) {
	d, dialled := machine(names)
	for to, want := range map[string][]string{
		"192.0.2.7:10250":    {"192.0.2.7:10250"},
		"192.0.2.1:10250":    {"192.0.2.1:10250"}, // the kubelet and host pods of the hub's own machine
		"192.0.2.1:2379":     {"192.0.2.1:2379"},
		"192.0.2.7:6443":     {"192.0.2.7:6443"},
		"10.97.0.1:80":       {"10.97.0.1:80"},
		"[2001:db8::7]:80":   {"[2001:db8::7]:80"},
		"[fd00::7]:80":       {"[fd00::7]:80"},
		"good.example:80":    {"192.0.2.7:80"},
		"half.example:80":    {"192.0.2.7:80", "192.0.2.8:80"},
		"own.example:80":     {"192.0.2.1:80", "192.0.2.1:80", "[2001:db8::1]:80"},
		"unknown.example:80": nil,
		"192.0.2.7:http":     nil,
		"192.0.2.7:0":        nil,
		"192.0.2.7:65536":    nil,
	} {
		*dialled = nil
		if _, err := d.DialContext(t.Context(), "tcp", to); err == nil || errors.Is(err, ErrNotAllowed) {
			t.Errorf("%s: %v", to, err)
		}
		if !slices.Equal(*dialled, want) {
			t.Errorf("%s: connected to %v, want %v", to, *dialled, want)
		}
	}
}

// A name is asked for once: what was looked at is what is connected to, whatever the resolver says next.
func TestANameIsResolvedOnce(t *testing.T) {
	asked := 0
	var dialled []string
	d := New(Config{
		Resolve: func(context.Context, string) ([]netip.Addr, error) {
			asked++
			return []netip.Addr{netip.MustParseAddr([]string{"192.0.2.7", "127.0.0.1"}[min(asked-1, 1)])}, nil
		},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return nil, net.ErrClosed
		},
	})
	if err := d.Refused("rebinding.example:80"); err != nil || asked != 0 {
		t.Errorf("%v after %d lookups", err, asked)
	}
	_, _ = d.DialContext(t.Context(), "tcp", "rebinding.example:80")
	if asked != 1 || !slices.Equal(dialled, []string{"192.0.2.7:80"}) {
		t.Errorf("%d lookups, connected to %v", asked, dialled)
	}
	if _, err := d.DialContext(t.Context(), "tcp", "rebinding.example:80"); !errors.Is(err, ErrNotAllowed) || len(dialled) != 1 {
		t.Errorf("%v, connected to %v", err, dialled)
	}
}

// A machine whose addresses cannot be read is not led to any of them.
func TestUnknownAddressesAreOwn(t *testing.T) {
	d := New(Config{Own: func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:6443")} }, Local: func() []netip.Addr { return nil }})
	if err := d.Refused("192.0.2.7:6443"); !errors.Is(err, ErrNotAllowed) {
		t.Error(err)
	}
	if err := d.Refused("192.0.2.7:6444"); err != nil {
		t.Error(err)
	}
}

// What an administrator wrote down may be on this machine's loopback, but for the API server's own listeners; a name that stands
// for loopback, and everything else that leads nowhere, is refused as ever.
func TestWritten(t *testing.T) {
	var dialled []string
	d, _ := machine(names)
	d.cfg.DialWritten = func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return nil, errors.New("connected")
	}
	for to, want := range map[string]string{
		"127.0.0.1:8443": "127.0.0.1:8443", "localhost:8443": "127.0.0.1:8443", "LOCALHOST:80": "127.0.0.1:80", "[::1]:8443": "[::1]:8443", "good.example:443": "192.0.2.7:443",
		"127.0.0.1:6443": "", "localhost:6443": "", "[::1]:6443": "", "192.0.2.1:6443": "", "rebound.example:80": "", "mapped.example:80": "",
		"[::ffff:127.0.0.1]:80": "", "169.254.169.254:80": "", "2130706433:80": "", "10.96.0.1:443": "",
	} {
		dialled = nil
		_, err := d.DialWritten(t.Context(), "tcp", to)
		switch {
		case want == "" && (!errors.Is(err, ErrNotAllowed) || dialled != nil):
			t.Errorf("%s: %v, dialled %v", to, err, dialled)
		case want != "" && !slices.Equal(dialled, []string{want}):
			t.Errorf("%s: %v, dialled %v, want %s", to, err, dialled, want)
		}
	}
}
