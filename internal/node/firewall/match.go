package firewall

import (
	"encoding/binary"

	nf "sampan.dev/internal/node/nft"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// registers are the machine that nft's expressions run on, for one packet and one rule. What is not known of a packet is
// not known in a register.
type registers struct {
	data  [80]byte
	known [80]bool
}

// place is where a register lies: 1 to 4 are four words each, those from 8 single words in the same storage.
func place(reg uint32) int {
	if reg < unix.NFT_REG32_00 {
		return int(reg) * 16
	}
	return int(reg-unix.NFT_REG32_00+4) * 4
}

func (r *registers) load(reg uint32, b []byte) {
	at := place(reg)
	for i := range b {
		if at+i < len(r.data) {
			r.data[at+i], r.known[at+i] = b[i], true
		}
	}
}

func (r *registers) forget(reg uint32, n int) {
	for i := place(reg); i < min(place(reg)+n, len(r.known)); i++ {
		r.known[i] = false
	}
}

// get returns n bytes, or false when one of them is not known.
func (r *registers) get(reg uint32, n int) ([]byte, bool) {
	at := place(reg)
	if at+n > len(r.data) {
		return nil, false
	}
	for _, k := range r.known[at : at+n] {
		if !k {
			return nil, false
		}
	}
	return r.data[at : at+n], true
}

// sets finds a set of the table that a rule is in; false when it cannot be known.
type sets func(name string) (*set, bool)

// decide is the verdict of an nft rule.
func decide(exprs []nf.Expr, find sets) func(*Packet) (Verdict, string) {
	return func(p *Packet) (Verdict, string) {
		var r registers
		for _, e := range exprs {
			if v, chain, done := r.step(e, p, find); done {
				return v, chain
			}
		}
		return Continue, ""
	}
}

// step runs one expression; done ends the rule.
func (r *registers) step(x nf.Expr, p *Packet, find sets) (v Verdict, chain string, done bool) {
	goes := true // on to the next expression
	switch e := x.Known.(type) {
	case *expr.Meta:
		if !e.SourceRegister {
			r.meta(e, p)
		}
	case *expr.Payload:
		if e.SourceRegister == 0 {
			r.payload(e, p)
		}
	case *expr.Ct:
		if !e.SourceRegister {
			r.ct(e, p)
		}
	case *expr.Fib:
		r.fib(e, p)
	case *expr.Immediate:
		r.load(e.Register, e.Data)
	case *expr.Bitwise:
		r.bitwise(e)
	case *expr.Cmp:
		goes = r.compare(e)
	case *expr.Range:
		goes = r.within(e)
	case *expr.Lookup:
		return r.lookup(e, find)
	case *expr.Verdict:
		return verdictOf(e)
	case *expr.Reject:
		return Drop, "", true
	case *expr.Queue: // a program decides
		return Accept, "", true
	case *expr.Counter, *expr.Log, *expr.Notrack:
	default:
		return extension(x, p)
	}
	return Continue, "", !goes
}

func verdictOf(e *expr.Verdict) (v Verdict, chain string, done bool) {
	switch e.Kind {
	case expr.VerdictAccept, expr.VerdictStolen, expr.VerdictQueue, expr.VerdictStop:
		return Accept, "", true
	case expr.VerdictDrop:
		return Drop, "", true
	case expr.VerdictReturn:
		return Return, "", true
	case expr.VerdictJump:
		return Jump, e.Chain, true
	case expr.VerdictGoto:
		return Goto, e.Chain, true
	}
	return Continue, "", true
}

func (r *registers) meta(e *expr.Meta, p *Packet) {
	switch e.Key {
	case expr.MetaKeyIIFNAME:
		r.link(e.Register, p.In)
	case expr.MetaKeyOIFNAME:
		r.link(e.Register, p.Out)
	case expr.MetaKeyL4PROTO:
		r.load(e.Register, []byte{p.Proto})
	case expr.MetaKeyNFPROTO:
		r.load(e.Register, []byte{unix.NFPROTO_IPV4})
	case expr.MetaKeyPROTOCOL:
		r.load(e.Register, []byte{0x08, 0x00})
	case expr.MetaKeyMARK:
		r.load(e.Register, make([]byte, 4))
	case expr.MetaKeyPKTTYPE:
		r.load(e.Register, []byte{unix.PACKET_HOST})
	default:
		r.forget(e.Register, 16)
	}
}

func (r *registers) link(reg uint32, name string) {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	r.load(reg, b)
}

// payload loads from a header of which only addresses, protocol and ports are known.
func (r *registers) payload(e *expr.Payload, p *Packet) {
	r.forget(e.DestRegister, int(e.Len))
	var header [20]byte
	var from, to uint32 // what is known of it
	switch e.Base {
	case expr.PayloadBaseNetworkHeader:
		header[9] = p.Proto
		copy(header[12:], p.Src.AsSlice())
		copy(header[16:], p.Dst.AsSlice())
		if from, to = 12, 20; e.Offset == 9 {
			from, to = 9, 10
		}
	case expr.PayloadBaseTransportHeader:
		binary.BigEndian.PutUint16(header[0:], p.SrcPort)
		binary.BigEndian.PutUint16(header[2:], p.DstPort)
		to = 4
	}
	if e.Offset >= from && e.Offset+e.Len <= to {
		r.load(e.DestRegister, header[e.Offset:e.Offset+e.Len])
	}
}

// Of the kernel's nf_conntrack_common.h.
const (
	statusSeenReply, statusDNAT = 1 << 1, 1 << 5
)

func (p *Packet) state() uint32 {
	if p.Answer {
		return expr.CtStateBitESTABLISHED
	}
	return expr.CtStateBitNEW
}

func (p *Packet) status() (s uint32) {
	if p.Answer {
		s |= statusSeenReply
	}
	if p.DNAT {
		s |= statusDNAT
	}
	return s
}

func (r *registers) ct(e *expr.Ct, p *Packet) {
	switch e.Key {
	case expr.CtKeySTATE:
		r.load(e.Register, nf.Native32(p.state()))
	case expr.CtKeySTATUS:
		r.load(e.Register, nf.Native32(p.status()))
	case expr.CtKeyMARK:
		r.load(e.Register, make([]byte, 4))
	default:
		r.forget(e.Register, 16)
	}
}

// fib knows whether an address is the node's; not by which way it would be answered.
func (r *registers) fib(e *expr.Fib, p *Packet) {
	if !e.ResultADDRTYPE || e.FlagPRESENT {
		r.forget(e.Register, 16)
		return
	}
	r.load(e.Register, nf.Native32(p.addrType(e.FlagSADDR)))
}

// addrType is the routing type of the source or the destination.
func (p *Packet) addrType(source bool) uint32 {
	if source && p.Hook == Output || !source && p.Hook == Input {
		return unix.RTN_LOCAL
	}
	return unix.RTN_UNICAST
}
