package firewall

import (
	"bytes"
	"encoding/binary"
	"strings"

	nf "sampan.dev/internal/node/nft"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// extension runs an expression that is iptables' own, or one that is not known, which ends the rule without a verdict.
func extension(e nf.Expr, p *Packet) (v Verdict, chain string, done bool) {
	switch {
	case e.Target == "REJECT" || e.Target == "DROP":
		return Drop, "", true
	case e.Target == "NFQUEUE":
		return Accept, "", true
	case e.Target != "": // it changes or tells something; the packet goes on
		return Continue, "", false
	case e.Match != "":
		return Continue, "", !matches(e, p)
	}
	return Continue, "", true
}

// matches tells whether it is known that a match of iptables holds. Its data is the kernel's struct of that match.
func matches(e nf.Expr, p *Packet) bool {
	d := e.Info
	switch e.Match {
	case "comment":
		return true
	case "state":
		return len(d) >= 4 && binary.NativeEndian.Uint32(d)&stateBit(p) != 0
	case "conntrack":
		return conntrack(e.Rev, d, p)
	case "addrtype":
		return addrtype(e.Rev, d, p)
	case "tcp", "udp":
		return ports(e.Match, d, p)
	case "multiport":
		return e.Rev == 1 && multiport(d, p)
	}
	return false
}

// stateBit is the packet's state as iptables counts: invalid 1, then 1 << (IP_CT_ESTABLISHED 0, RELATED 1, NEW 2) + 1.
func stateBit(p *Packet) uint32 {
	if p.Answer {
		return 1 << 1
	}
	return 1 << 3
}

// Of the kernel's xt_conntrack.h: what is asked for, and where the masks lie behind eight addresses, two times, the protocol
// and four ports.
const (
	ctState, ctStatus = 1 << 0, 1 << 6
	ctFlagsAt         = 8*16 + 8 + 2 + 4*2
	ctStatusDNATBit   = 1 << 7 // XT_CONNTRACK_STATE_DNAT
)

func conntrack(rev uint32, d []byte, p *Packet) bool {
	if len(d) < ctFlagsAt+8 || rev < 1 || rev > 3 {
		return false
	}
	asked, inverted := binary.NativeEndian.Uint16(d[ctFlagsAt:]), binary.NativeEndian.Uint16(d[ctFlagsAt+2:])
	state, status := uint32(d[ctFlagsAt+4]), uint32(d[ctFlagsAt+5]) // revision 1: one byte each
	if rev > 1 {
		state, status = uint32(binary.NativeEndian.Uint16(d[ctFlagsAt+4:])), uint32(binary.NativeEndian.Uint16(d[ctFlagsAt+6:]))
	}
	if asked&^(ctState|ctStatus|1<<13) != 0 { // 1<<13 says that the match was written as "state"
		return false
	}
	if asked&ctState != 0 {
		have := stateBit(p)
		if p.DNAT {
			have |= ctStatusDNATBit
		}
		if (state&have != 0) == (inverted&ctState != 0) {
			return false
		}
	}
	return asked&ctStatus == 0 || (status&p.status() != 0) != (inverted&ctStatus != 0)
}

// addrtype is xt_addrtype_info_v1, or the older one, whose inversions are words.
func addrtype(rev uint32, d []byte, p *Packet) bool {
	if len(d) < 8 {
		return false
	}
	src, dst := binary.NativeEndian.Uint16(d), binary.NativeEndian.Uint16(d[2:])
	flags := binary.NativeEndian.Uint32(d[4:])
	invSrc, invDst := flags&1 != 0, flags&2 != 0
	if rev == 0 {
		if len(d) < 12 {
			return false
		}
		invSrc, invDst = flags != 0, binary.NativeEndian.Uint32(d[8:]) != 0
	} else if flags&^3 != 0 { // limited to a link
		return false
	}
	ok := func(mask uint16, source, inverted bool) bool {
		return mask == 0 || (mask&(1<<p.addrType(source)) != 0) != inverted
	}
	return ok(src, true, invSrc) && ok(dst, false, invDst)
}

// ports is xt_tcp or xt_udp: two ranges of ports, and for TCP an option and flags, of which only "none asked" and a first
// packet's SYN are known.
func ports(proto string, d []byte, p *Packet) bool {
	inv := 8
	if proto == "tcp" {
		inv = 11
	}
	if len(d) <= inv || (proto == "tcp") != (p.Proto == unix.IPPROTO_TCP) {
		return false
	}
	in := func(at int, port uint16) bool {
		return port >= binary.NativeEndian.Uint16(d[at:]) && port <= binary.NativeEndian.Uint16(d[at+2:])
	}
	if in(0, p.SrcPort) == (d[inv]&1 != 0) || in(4, p.DstPort) == (d[inv]&2 != 0) {
		return false
	}
	return proto == "udp" || d[8] == 0 && d[9] == 0
}

// multiport is xt_multiport_v1: which ports, how many, fifteen of them, whether each begins a range, inversion.
func multiport(d []byte, p *Packet) bool {
	if len(d) < 2+15*2+15+1 {
		return false
	}
	hit := false
	for i := 0; i < int(d[1]) && i < 15; i++ {
		from := binary.NativeEndian.Uint16(d[2+2*i:])
		to := from
		if d[32+i] != 0 && i+1 < 15 {
			i++
			to = binary.NativeEndian.Uint16(d[2+2*i:])
		}
		in := func(port uint16) bool { return port >= from && port <= to }
		hit = hit || d[0] != 1 && in(p.SrcPort) || d[0] != 0 && in(p.DstPort)
	}
	return hit != (d[47] != 0)
}

// comment is what a rule is marked with: by nft, or by a match of iptables.
func comment(r nf.ForeignRule) string {
	if r.Comment != "" {
		return r.Comment
	}
	for _, e := range r.Exprs {
		if e.Match == "comment" {
			text, _, _ := bytes.Cut(e.Info, []byte{0})
			return string(text)
		}
	}
	return ""
}

// text says in a few words what a rule does.
func text(r nf.ForeignRule) string {
	out := "a rule"
	for _, e := range r.Exprs {
		switch known := e.Known.(type) {
		case *expr.Reject:
			out = "reject"
		case *expr.Lookup:
			out = "by a map"
		case *expr.Verdict:
			switch known.Kind {
			case expr.VerdictDrop:
				out = "drop"
			case expr.VerdictAccept:
				out = "accept"
			}
		}
		if e.Target != "" {
			out = strings.ToLower(e.Target)
		}
	}
	if c := comment(r); c != "" {
		out += " /* " + c + " */"
	}
	return out
}
