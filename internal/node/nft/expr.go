package nft

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Exprs is part of a rule.
type Exprs []expr.Any

// R0 to R7 are the 32-bit registers that keys and data are put together in. A value that needs several takes consecutive
// ones. (The kernel's registers 8 to 15 are these; 1 to 4 are the same storage in 128-bit pieces, which nft itself prints.)
const (
	R0 = unix.NFT_REG32_00 + iota
	R1
	R2
	R3
	R4
	R5
	R6
	R7
	R8
	R9
	R10
	R11
)

// L4Proto loads the transport protocol.
func L4Proto(reg uint32) Exprs { return Exprs{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg}} }

// DstPort loads the transport destination port.
func DstPort(reg uint32) Exprs {
	return Exprs{&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}}
}

// SrcAddr loads the source address, four registers for IPv6.
func SrcAddr(f nftables.TableFamily, reg uint32) Exprs { return address(f, reg, 12, 8) }

// DstAddr loads the destination address.
func DstAddr(f nftables.TableFamily, reg uint32) Exprs { return address(f, reg, 16, 24) }

func address(f nftables.TableFamily, reg, off4, off6 uint32) Exprs {
	if f == nftables.TableFamilyIPv6 {
		return Exprs{&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: off6, Len: 16}}
	}
	return Exprs{&expr.Payload{DestRegister: reg, Base: expr.PayloadBaseNetworkHeader, Offset: off4, Len: 4}}
}

// In goes on when the key that begins in reg is in the set.
func In(s *nftables.Set, reg uint32) Exprs {
	return Exprs{&expr.Lookup{SourceRegister: reg, SetName: s.Name, SetID: s.ID}}
}

// NotIn goes on when it is not.
func NotIn(s *nftables.Set, reg uint32) Exprs {
	return Exprs{&expr.Lookup{SourceRegister: reg, SetName: s.Name, SetID: s.ID, Invert: true}}
}

// Map goes on when the key is in the map, with the data in the registers from dst.
func Map(s *nftables.Set, reg, dst uint32) Exprs {
	return Exprs{&expr.Lookup{SourceRegister: reg, DestRegister: dst, IsDestRegSet: true, SetName: s.Name, SetID: s.ID}}
}

// VerdictMap follows the verdict that the key is mapped to, if any.
func VerdictMap(s *nftables.Set, reg uint32) Exprs { return Map(s, reg, unix.NFT_REG_VERDICT) }

// Is goes on when the register equals data.
func Is(reg uint32, data []byte) Exprs {
	return Exprs{&expr.Cmp{Op: expr.CmpOpEq, Register: reg, Data: data}}
}

// IsNot goes on when it does not.
func IsNot(reg uint32, data []byte) Exprs {
	return Exprs{&expr.Cmp{Op: expr.CmpOpNeq, Register: reg, Data: data}}
}

// Within goes on when the address in reg is in the prefix; Outside when it is not.
func Within(reg uint32, p netip.Prefix) Exprs { return masked(reg, p, expr.CmpOpEq) }

// Outside is the opposite of Within.
func Outside(reg uint32, p netip.Prefix) Exprs { return masked(reg, p, expr.CmpOpNeq) }

func masked(reg uint32, p netip.Prefix, op expr.CmpOp) Exprs {
	addr := p.Masked().Addr().AsSlice()
	mask := make([]byte, len(addr))
	for i := range p.Bits() {
		mask[i/8] |= 1 << (7 - i%8)
	}
	return Exprs{
		&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: uint32(len(addr)), Mask: mask, Xor: make([]byte, len(addr))},
		&expr.Cmp{Op: op, Register: reg, Data: addr},
	}
}

// InName and OutName go on when the packet came in or goes out by a link whose name begins with prefix.
func InName(prefix string) Exprs { return linkName(expr.MetaKeyIIFNAME, prefix) }

// OutName is InName for the link that the packet leaves by.
func OutName(prefix string) Exprs { return linkName(expr.MetaKeyOIFNAME, prefix) }

func linkName(key expr.MetaKey, prefix string) Exprs {
	return Exprs{&expr.Meta{Key: key, Register: R0}, &expr.Cmp{Op: expr.CmpOpEq, Register: R0, Data: []byte(prefix)}}
}

// ToLocal goes on when the destination is an address of this machine, FromLocal when the source is.
func ToLocal() Exprs {
	return Exprs{&expr.Fib{Register: R0, ResultADDRTYPE: true, FlagDADDR: true}, &expr.Cmp{Op: expr.CmpOpEq, Register: R0, Data: Native32(unix.RTN_LOCAL)}}
}

// FromLocal is ToLocal for the source.
func FromLocal() Exprs {
	return Exprs{&expr.Fib{Register: R0, ResultADDRTYPE: true, FlagSADDR: true}, &expr.Cmp{Op: expr.CmpOpEq, Register: R0, Data: Native32(unix.RTN_LOCAL)}}
}

// Drop, Accept and Return end the rule with that verdict; Jump and Goto go to a chain.
func Drop() Exprs { return verdict(expr.VerdictDrop, "") }

// Accept ends the evaluation of this hook's chain.
func Accept() Exprs { return verdict(expr.VerdictAccept, "") }

// Return goes back to the calling chain.
func Return() Exprs { return verdict(expr.VerdictReturn, "") }

// Jump evaluates a chain and comes back; Goto does not come back.
func Jump(chain string) Exprs { return verdict(expr.VerdictJump, chain) }

// Goto continues in a chain.
func Goto(chain string) Exprs { return verdict(expr.VerdictGoto, chain) }

func verdict(kind expr.VerdictKind, chain string) Exprs {
	return Exprs{&expr.Verdict{Kind: kind, Chain: chain}}
}

// DNAT sends the connection to the address in addr and the port in port.
func DNAT(f nftables.TableFamily, addr, port uint32) Exprs {
	fam := uint32(unix.NFPROTO_IPV4)
	if f == nftables.TableFamilyIPv6 {
		fam = unix.NFPROTO_IPV6
	}
	return Exprs{&expr.NAT{Type: expr.NATTypeDestNAT, Family: fam, RegAddrMin: addr, RegProtoMin: port, Specified: true}}
}

// Masquerade gives the connection the address of the link it leaves by.
func Masquerade() Exprs { return Exprs{&expr.Masq{FullyRandom: true}} }

// Random puts a number below n into reg.
func Random(reg, n uint32) Exprs {
	return Exprs{&expr.Numgen{Register: reg, Modulus: n, Type: unix.NFT_NG_RANDOM}}
}

// Native32 is v as the kernel keeps it in a register.
func Native32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// Bytes of keys and data: each part starts at a register.

// AddrKey is an address as part of a key.
func AddrKey(a netip.Addr) []byte { return a.AsSlice() }

// PortKey is a port as part of a key, in network order.
func PortKey(p uint16) []byte { return []byte{byte(p >> 8), byte(p), 0, 0} }

// ProtoKey is a transport protocol as part of a key.
func ProtoKey(p uint8) []byte { return []byte{p, 0, 0, 0} }
