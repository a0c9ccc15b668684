package firewall

import (
	"bytes"
	"slices"

	"github.com/google/nftables/expr"
)

func (r *registers) bitwise(e *expr.Bitwise) {
	n := int(e.Len)
	src, ok := r.get(e.SourceRegister, n)
	if !ok || len(e.Mask) != n || len(e.Xor) != n { // or a shift
		r.forget(e.DestRegister, n)
		return
	}
	out := slices.Clone(src)
	for i := range out {
		out[i] = out[i]&e.Mask[i] ^ e.Xor[i]
	}
	r.load(e.DestRegister, out)
}

// compare tells whether it is known that the packet is as the expression wants it.
func (r *registers) compare(e *expr.Cmp) bool {
	have, ok := r.get(e.Register, len(e.Data))
	if !ok {
		return false
	}
	c := bytes.Compare(have, e.Data)
	switch e.Op {
	case expr.CmpOpEq:
		return c == 0
	case expr.CmpOpNeq:
		return c != 0
	case expr.CmpOpLt:
		return c < 0
	case expr.CmpOpLte:
		return c <= 0
	case expr.CmpOpGt:
		return c > 0
	case expr.CmpOpGte:
		return c >= 0
	}
	return false
}

func (r *registers) within(e *expr.Range) bool {
	have, ok := r.get(e.Register, len(e.FromData))
	if !ok {
		return false
	}
	in := bytes.Compare(have, e.FromData) >= 0 && bytes.Compare(have, e.ToData) <= 0
	return in == (e.Op == expr.CmpOpEq)
}

// set is a set or map of a foreign table.
type set struct {
	interval bool
	elements []element // sorted when interval
}

type element struct {
	key     []byte
	end     bool // an interval ends before key
	value   []byte
	verdict *expr.Verdict
}

// find returns the element that key belongs to, or nil.
func (s *set) find(key []byte) *element {
	if !s.interval {
		for i := range s.elements {
			if bytes.Equal(s.elements[i].key, key) {
				return &s.elements[i]
			}
		}
		return nil
	}
	var last *element
	for i := range s.elements {
		if bytes.Compare(s.elements[i].key, key) > 0 {
			break
		}
		last = &s.elements[i]
	}
	if last == nil || last.end {
		return nil
	}
	return last
}

func (r *registers) lookup(e *expr.Lookup, find sets) (v Verdict, chain string, done bool) {
	s, ok := find(e.SetName)
	if !ok {
		return Continue, "", true
	}
	if len(s.elements) == 0 {
		return Continue, "", !e.Invert
	}
	key, ok := r.get(e.SourceRegister, len(s.elements[0].key))
	if !ok {
		return Continue, "", true
	}
	found := s.find(key)
	switch {
	case (found != nil) == e.Invert:
		return Continue, "", true
	case found != nil && found.verdict != nil:
		return verdictOf(found.verdict)
	case found != nil && e.IsDestRegSet:
		r.load(e.DestRegister, found.value)
	}
	return Continue, "", false
}
