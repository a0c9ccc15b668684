package hostnet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Watch calls changed when addresses, the default route or links of this network namespace have changed, until ctx ends.
// Several changes at once may be told by one call.
func Watch(ctx context.Context, changed func()) error {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{
		Groups: unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE,
	})
	if err != nil {
		return fmt.Errorf("watch the host's network: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer func() {
		if stop() {
			_ = conn.Close()
		}
	}()
	for {
		msgs, err := conn.Receive()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, unix.ENOBUFS): // more than there was room for: anything may have changed
			changed()
		case err != nil:
			return fmt.Errorf("watch the host's network: %w", err)
		case slices.ContainsFunc(msgs, concerns):
			changed()
		}
	}
}

// ownLinks is what the names of clusters' links begin with; theirs are the pods' and the gateways'.
const ownLinks = "smp"

// concerns tells whether a notice is about the machine rather than about a pod.
func concerns(m netlink.Message) bool {
	switch m.Header.Type {
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE: // a default route has a prefix of no bits
		return len(m.Data) >= unix.SizeofRtMsg && m.Data[1] == 0 && m.Data[4] != unix.RT_TABLE_LOCAL
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return len(m.Data) >= unix.SizeofIfInfomsg && !strings.HasPrefix(linkName(m.Data[unix.SizeofIfInfomsg:]), ownLinks)
	}
	return false
}

func linkName(attrs []byte) string {
	ad, err := netlink.NewAttributeDecoder(attrs)
	if err != nil {
		return ""
	}
	ad.ByteOrder = binary.NativeEndian
	for ad.Next() {
		if ad.Type() == unix.IFLA_IFNAME {
			return ad.String()
		}
	}
	return ""
}
