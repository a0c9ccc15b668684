package hostnet

import (
	"context"
	"net"
	"testing"

	"sampan.dev/internal/node/netnstest"

	mdnetlink "github.com/mdlayher/netlink"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// Every way in which the machine's network changes is told; a pod's link and route are not.
func TestWatch(t *testing.T) {
	netnstest.Need(t)
	add := func(name string, mtu int) netlink.Link {
		t.Helper()
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU = name, mtu
		if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
			t.Fatal(err)
		}
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	ctx, cancel := context.WithCancel(t.Context())
	told, ended := make(chan struct{}, 1000), make(chan error, 1)
	go func() { ended <- Watch(ctx, func() { told <- struct{}{} }) }()
	// It listens from when it first tells.
	sign := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(198, 51, 100, 1), Mask: net.CIDRMask(32, 32)}}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for heard := false; !heard; {
		if err := netlink.AddrReplace(lo, sign); err != nil {
			t.Fatal(err)
		}
		select {
		case <-told:
			heard = true
		default:
		}
	}
	var eth0 netlink.Link
	gateway := &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 10), Mask: net.CIDRMask(24, 32)}}
	route := func() *netlink.Route {
		return &netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.IPv4(192, 0, 2, 1)}
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"a link", func() error { eth0 = add("eth0", 1500); return nil }},
		{"its state", func() error { return netlink.LinkSetUp(eth0) }},
		{"an address", func() error { return netlink.AddrAdd(eth0, gateway) }},
		{"the default route", func() error { return netlink.RouteAdd(route()) }},
		{"the MTU", func() error { return netlink.LinkSetMTU(eth0, 1400) }},
		{"no default route", func() error { return netlink.RouteDel(route()) }},
		{"no address", func() error { return netlink.AddrDel(eth0, gateway) }},
		{"no link", func() error { return netlink.LinkDel(eth0) }},
	} {
		for len(told) > 0 {
			<-told
		}
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		<-told
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Pods do not count.
func TestConcerns(t *testing.T) {
	link := func(name string) []byte {
		data := make([]byte, unix.SizeofIfInfomsg)
		attrs, err := mdnetlink.MarshalAttributes([]mdnetlink.Attribute{{Type: unix.IFLA_IFNAME, Data: append([]byte(name), 0)}})
		if err != nil {
			t.Fatal(err)
		}
		return append(data, attrs...)
	}
	route := func(bits byte, table byte) []byte {
		data := make([]byte, unix.SizeofRtMsg)
		data[0], data[1], data[4] = unix.AF_INET, bits, table
		return data
	}
	for _, test := range []struct {
		name string
		typ  mdnetlink.HeaderType
		data []byte
		want bool
	}{
		{"a pod's link", unix.RTM_NEWLINK, link("smp-a1"), false},
		{"a gateway", unix.RTM_DELLINK, link("smp0a1b2c3dgw00"), false},
		{"the uplink", unix.RTM_NEWLINK, link("eth0"), true},
		{"Docker's bridge", unix.RTM_NEWLINK, link("docker0"), true},
		{"a pod's route", unix.RTM_NEWROUTE, route(32, unix.RT_TABLE_MAIN), false},
		{"another node's", unix.RTM_DELROUTE, route(24, unix.RT_TABLE_MAIN), false},
		{"the default route", unix.RTM_DELROUTE, route(0, unix.RT_TABLE_MAIN), true},
		{"an address", unix.RTM_DELADDR, nil, true},
		{"damage", unix.RTM_NEWLINK, []byte{1}, false},
		{"a neighbour", unix.RTM_NEWNEIGH, nil, false},
	} {
		if got := concerns(mdnetlink.Message{Header: mdnetlink.Header{Type: test.typ}, Data: test.data}); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}
