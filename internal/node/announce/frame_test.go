package announce

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"
)

var (
	self  = station{mac: net.HardwareAddr{2, 0, 0, 0, 0, 1}, linkLocal: netip.MustParseAddr("fe80::1")}
	asker = net.HardwareAddr{2, 0, 0, 0, 0, 9}
)

func isMine(a netip.Addr) bool { return a.String() == "192.0.2.10" || a.String() == "fd00::10" }

func bytesOf(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// request is who has 192.0.2.10, tell 192.0.2.1, as it is on the wire.
const request = "ffffffffffff 020000000009 0806 0001 0800 06 04 0001 020000000009 c0000201 000000000000 c000020a"

// solicit makes a neighbor solicitation.
func solicit(target, from string, option bool) []byte {
	src, t := netip.MustParseAddr(from), netip.MustParseAddr(target)
	to := solicitedNode(t)
	m := append([]byte{solicitation, 0, 0, 0, 0, 0, 0, 0}, t.AsSlice()...)
	if option {
		m = append(append(m, sourceOption, 1), asker...)
	}
	sum := checksum(src, to, m)
	m[2], m[3] = byte(sum>>8), byte(sum)
	out := append([]byte{0x33, 0x33, 0xff, 0, 0, 0x10}, asker...)
	out = append(out, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(m)), nextICMPv6, hopLimit)
	out = append(append(out, src.AsSlice()...), to.AsSlice()...)
	return append(out, m...)
}

func TestAnswerARP(t *testing.T) {
	good := bytesOf(t, request)
	want := bytesOf(t, "020000000009 020000000001 0806 0001 0800 06 04 0002 020000000001 c000020a 020000000009 c0000201")
	if got := self.answer(good, isMine); !bytes.Equal(got, want) {
		t.Errorf("%x\nwant %x", got, want)
	}
	if got := self.answer(append(good, make([]byte, 18)...), isMine); !bytes.Equal(got, want) {
		t.Errorf("padded: %x", got)
	}
	unanswered(t, good, map[string]func([]byte){
		"not mine":    func(f []byte) { f[41] = 11 },
		"a reply":     func(f []byte) { f[21] = 2 },
		"from myself": func(f []byte) { copy(f[6:], self.mac) },
		"not IPv4":    func(f []byte) { f[16] = 9 },
		"not ARP":     func(f []byte) { f[13] = 0 },
	})
}

// unanswered checks that a frame that is changed, or cut off anywhere, gets no answer.
func unanswered(t *testing.T, good []byte, changes map[string]func([]byte)) {
	t.Helper()
	for name, change := range changes {
		f := bytes.Clone(good)
		change(f)
		if got := self.answer(f, isMine); got != nil {
			t.Errorf("%s: %x", name, got)
		}
	}
	for n := range good {
		if got := self.answer(good[:n], isMine); got != nil {
			t.Errorf("%d bytes: %x", n, got)
		}
	}
}

func TestAnswerNDP(t *testing.T) {
	good := solicit("fd00::10", "fd00::9", true)
	got := self.answer(good, isMine)
	want := bytesOf(t, "020000000009 020000000001 86dd 60000000 0020 3a ff fe800000000000000000000000000001 fd000000000000000000000000000009"+
		" 88 00 0000 60000000 fd000000000000000000000000000010 02 01 020000000001")
	m := got[etherLen+ipv6Len:]
	if checksum(self.linkLocal, netip.MustParseAddr("fd00::9"), m) != 0 {
		t.Errorf("checksum of %x", m)
	}
	m[2], m[3] = 0, 0
	if !bytes.Equal(got, want) {
		t.Errorf("%x\nwant %x", got, want)
	}
	if got := self.answer(solicit("fd00::10", "fd00::9", false), isMine); !bytes.Equal(got[:6], asker) {
		t.Errorf("without an option: to %x", got[:6])
	}
	// Who wants to have the address itself has none to be answered at.
	probe := self.answer(solicit("fd00::10", "::", false), isMine)
	if !bytes.Equal(probe[:6], allNodesMAC) || probe[etherLen+ipv6Len+4] != override {
		t.Errorf("a probe: %x", probe)
	}
	unanswered(t, good, map[string]func([]byte){
		"not mine":        func(f []byte) { copy(f, solicit("fd00::11", "fd00::9", true)) },
		"handed on":       func(f []byte) { f[etherLen+7] = 254 },
		"a bad checksum":  func(f []byte) { f[etherLen+ipv6Len+2] ^= 1 },
		"not a question":  func(f []byte) { f[etherLen+ipv6Len] = advertisement },
		"longer than all": func(f []byte) { f[etherLen+5] = 200 },
	})
}

func TestTidings(t *testing.T) {
	v4 := self.tidings(netip.MustParseAddr("192.0.2.10"))
	want := []string{
		"ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 c000020a 000000000000 c000020a",
		"ffffffffffff 020000000001 0806 0001 0800 06 04 0002 020000000001 c000020a ffffffffffff c000020a",
	}
	for i, w := range want {
		if !bytes.Equal(v4[i], bytesOf(t, w)) {
			t.Errorf("%x\nwant %s", v4[i], w)
		}
	}
	v6 := self.tidings(netip.MustParseAddr("fd00::10"))
	if len(v6) != 1 || !bytes.Equal(v6[0][:6], allNodesMAC) || v6[0][etherLen+ipv6Len+4] != override {
		t.Errorf("%x", v6)
	}
}

func TestBelongs(t *testing.T) {
	lan := link{index: 2, prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fd00::/64")}}
	store := link{index: 3, prefixes: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	wan := link{index: 4, prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, uplink: [2]bool{true, false}}
	for a, want := range map[string]string{"192.0.2.10": "[2]", "fd00::5": "[2]", "198.51.100.7": "[3]", "10.0.0.1": "[4]", "fd01::1": "[]"} {
		if got := sprint(belongs([]link{lan, store, wan}, netip.MustParseAddr(a))); got != want {
			t.Errorf("%s: %s, want %s", a, got, want)
		}
	}
}

func sprint(list []int) string {
	var b strings.Builder
	for _, i := range list {
		b.WriteByte(byte('0' + i))
	}
	return "[" + b.String() + "]"
}

func FuzzAnswer(f *testing.F) {
	f.Add(bytesOf(f, request))
	f.Add(solicit("fd00::10", "fd00::9", true))
	f.Fuzz(func(t *testing.T, frame []byte) {
		got := self.answer(frame, func(netip.Addr) bool { return true })
		if got != nil && !bytes.Equal(got[6:12], self.mac) {
			t.Errorf("%x answers %x", got, frame)
		}
	})
}
