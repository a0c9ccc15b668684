package nft

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ForeignRule is a rule that somebody else may have made, with nft or with iptables.
type ForeignRule struct {
	Chain   string
	Handle  uint64
	Comment string // as nft keeps it
	Exprs   []Expr
}

// Expr is an expression of such a rule: one that is known here, or an extension of iptables with the kernel's struct for it,
// or, when all is empty, neither. (The library leaves out what it does not know, so that a rule seems to say more than it does,
// and does not survive a damaged extension.)
type Expr struct {
	Known         expr.Any
	Match, Target string
	Rev           uint32
	Info          []byte
}

// Rules lists the rules of all chains of a table, in their order.
func Rules(family nftables.TableFamily, table string) ([]ForeignRule, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("nftables: %w", err)
	}
	defer conn.Close()
	name, err := netlink.MarshalAttributes([]netlink.Attribute{{Type: unix.NFTA_RULE_TABLE, Data: append([]byte(table), 0)}})
	if err != nil {
		return nil, err
	}
	list, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: netlink.Request | netlink.Dump},
		Data:   append([]byte{byte(family), unix.NFNETLINK_V0, 0, 0}, name...),
	})
	if err != nil && !errors.Is(err, unix.ENOENT) { // just gone
		return nil, fmt.Errorf("list rules of %s: %w", table, err)
	}
	var out []ForeignRule
	for _, m := range list {
		if len(m.Data) < 4 {
			continue
		}
		r, in, err := foreignRule(byte(family), m.Data[4:])
		if err != nil {
			return nil, fmt.Errorf("rule of %s: %w", table, err)
		}
		if in == table { // old kernels do not filter
			out = append(out, r)
		}
	}
	return out, nil
}

func foreignRule(family byte, data []byte) (r ForeignRule, table string, err error) {
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return r, "", err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_RULE_TABLE:
			table = ad.String()
		case unix.NFTA_RULE_CHAIN:
			r.Chain = ad.String()
		case unix.NFTA_RULE_HANDLE:
			r.Handle = ad.Uint64()
		case unix.NFTA_RULE_USERDATA:
			r.Comment = commentOf(ad.Bytes())
		case unix.NFTA_RULE_EXPRESSIONS:
			ad.Nested(func(ad *netlink.AttributeDecoder) error {
				for ad.Next() {
					ad.Nested(func(ad *netlink.AttributeDecoder) error {
						e, err := foreignExpr(family, ad)
						r.Exprs = append(r.Exprs, e)
						return err
					})
				}
				return ad.Err()
			})
		}
	}
	return r, table, ad.Err()
}

func foreignExpr(family byte, ad *netlink.AttributeDecoder) (e Expr, err error) {
	name := ""
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_EXPR_NAME:
			name = ad.String()
		case unix.NFTA_EXPR_DATA:
			data := ad.Bytes()
			if name == "match" || name == "target" {
				if err := e.extension(name, data); err != nil {
					return e, err
				}
				continue
			}
			known := knownExpr(name)
			if known == nil || expr.Unmarshal(family, data, known) != nil {
				continue // it decides nothing
			}
			if imm, ok := known.(*expr.Immediate); ok && imm.Register == unix.NFT_REG_VERDICT {
				v := &expr.Verdict{}
				if expr.Unmarshal(family, data, v) != nil {
					continue
				}
				known = v
			}
			e.Known = known
		}
	}
	if name == "notrack" {
		e.Known = &expr.Notrack{}
	}
	return e, ad.Err()
}

// extension reads a match or target of iptables, whose attributes have the same numbers.
func (e *Expr) extension(kind string, data []byte) error {
	ad, err := netlink.NewAttributeDecoder(data)
	if err != nil {
		return err
	}
	ad.ByteOrder = binary.BigEndian
	for ad.Next() {
		switch ad.Type() {
		case unix.NFTA_MATCH_NAME:
			if kind == "match" {
				e.Match = ad.String()
			} else {
				e.Target = ad.String()
			}
		case unix.NFTA_MATCH_REV:
			e.Rev = ad.Uint32()
		case unix.NFTA_MATCH_INFO:
			e.Info = ad.Bytes()
		}
	}
	return ad.Err()
}

func knownExpr(name string) expr.Any {
	switch name {
	case "meta":
		return &expr.Meta{}
	case "payload":
		return &expr.Payload{}
	case "ct":
		return &expr.Ct{}
	case "fib":
		return &expr.Fib{}
	case "immediate":
		return &expr.Immediate{}
	case "bitwise":
		return &expr.Bitwise{}
	case "cmp":
		return &expr.Cmp{}
	case "range":
		return &expr.Range{}
	case "lookup":
		return &expr.Lookup{}
	case "reject":
		return &expr.Reject{}
	case "queue":
		return &expr.Queue{}
	case "counter":
		return &expr.Counter{}
	case "log":
		return &expr.Log{}
	}
	return nil
}

// commentOf reads the comment out of what nft and iptables keep beside a rule: type, length and value of each thing.
func commentOf(data []byte) string {
	const typeComment = 0
	for len(data) >= 2 {
		n := int(data[1])
		if len(data) < 2+n {
			return ""
		}
		if data[0] == typeComment {
			return string(bytes.TrimRight(data[2:2+n], "\x00"))
		}
		data = data[2+n:]
	}
	return ""
}

// Marked is a rule's comment as nft and iptables keep it.
func Marked(comment string) []byte {
	return append([]byte{0, byte(len(comment) + 1)}, append([]byte(comment), 0)...)
}

// Elements lists the elements of a set or map of somebody else's table, and whether they are intervals.
func Elements(family nftables.TableFamily, table, name string) (list []nftables.SetElement, interval bool, err error) {
	conn, err := nftables.New()
	if err != nil {
		return nil, false, err
	}
	s, err := conn.GetSetByName(&nftables.Table{Name: table, Family: family}, name)
	if err != nil {
		return nil, false, err
	}
	s.Table = &nftables.Table{Name: table, Family: family}
	list, err = conn.GetSetElements(s)
	return list, s.Interval, err
}
