package netnstest

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// OwnedTable makes an inet table that is its owner's alone, as firewalld's is since 2.1: nobody else may change it, and it goes
// when release is called or the test ends. Its one chain, "forward", drops everything that is forwarded.
func OwnedTable(t *testing.T, name string) (release func()) {
	t.Helper()
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = conn.Close() })
	t.Cleanup(release)
	const tableOwned = 2 // NFT_TABLE_F_OWNER
	msgs := []netlink.Message{
		nftMessage(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.NFNL_SUBSYS_NFTABLES, nil),
		nftMessage(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE, unix.NFPROTO_INET, 0, func(e *netlink.AttributeEncoder) {
			e.String(unix.NFTA_TABLE_NAME, name)
			e.Uint32(unix.NFTA_TABLE_FLAGS, tableOwned)
		}),
		nftMessage(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWCHAIN, unix.NFPROTO_INET, 0, func(e *netlink.AttributeEncoder) {
			e.String(unix.NFTA_CHAIN_TABLE, name)
			e.String(unix.NFTA_CHAIN_NAME, "forward")
			e.Nested(unix.NFTA_CHAIN_HOOK, func(e *netlink.AttributeEncoder) error {
				e.ByteOrder = binary.BigEndian
				e.Uint32(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_FORWARD)
				e.Uint32(unix.NFTA_HOOK_PRIORITY, 0)
				return nil
			})
			e.Uint32(unix.NFTA_CHAIN_POLICY, 0) // NF_DROP
			e.String(unix.NFTA_CHAIN_TYPE, "filter")
		}),
		nftMessage(unix.NFNL_MSG_BATCH_END, 0, unix.NFNL_SUBSYS_NFTABLES, nil),
	}
	sent, err := conn.SendMessages(msgs)
	if err != nil {
		t.Fatal(err)
	}
	for range sent[1:3] { // those two are acknowledged
		if _, err := conn.Receive(); err != nil {
			t.Fatalf("an owned table: %v", err)
		}
	}
	return release
}

func nftMessage(typ netlink.HeaderType, family, resource uint8, attrs func(*netlink.AttributeEncoder)) netlink.Message {
	m := netlink.Message{Header: netlink.Header{Type: typ, Flags: netlink.Request}, Data: []byte{family, unix.NFNETLINK_V0, 0, resource}}
	if attrs == nil {
		return m
	}
	m.Header.Flags |= netlink.Acknowledge | netlink.Create
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	attrs(e)
	data, err := e.Encode()
	if err != nil {
		panic(err) // made of constants
	}
	m.Data = append(m.Data, data...)
	return m
}
