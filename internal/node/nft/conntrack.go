package nft

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Flow is what a tracked UDP flow was before translation (To, Port) and the endpoint it was sent to (Endpoint). Zero
// fields match everything.
type Flow struct {
	To       netip.Addr
	Port     uint16
	Endpoint netip.Addr
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (f Flow) MatchConntrackFlow(c *netlink.ConntrackFlow) bool {
	if c.Forward.Protocol != unix.IPPROTO_UDP || (f.Port != 0 && c.Forward.DstPort != f.Port) {
		return false
	}
	if f.To.IsValid() && !c.Forward.DstIP.Equal(f.To.AsSlice()) {
		return false
	}
	return !f.Endpoint.IsValid() || c.Reverse.SrcIP.Equal(f.Endpoint.AsSlice())
}

// ForgetUDP ends the tracked UDP flows that match any of flows, so that their next packets meet the rules anew.
func ForgetUDP(v6 bool, flows []Flow) error {
	if len(flows) == 0 {
		return nil
	}
	fam := netlink.InetFamily(unix.AF_INET)
	if v6 {
		fam = unix.AF_INET6
	}
	filters := make([]netlink.CustomConntrackFilter, len(flows))
	for i, f := range flows {
		filters[i] = f
	}
	var err error
	for range 5 { // the table changes all the time, also while it is listed
		if _, err = netlink.ConntrackDeleteFilters(netlink.ConntrackTable, fam, filters...); err == nil {
			return nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) && !errors.Is(err, unix.ENOENT) {
			break
		}
	}
	return fmt.Errorf("conntrack: %w", err)
}

// ForgetUDPPort ends the tracked UDP flows to a port.
func ForgetUDPPort(port uint16) error { return ForgetUDP(false, []Flow{{Port: port}}) }
