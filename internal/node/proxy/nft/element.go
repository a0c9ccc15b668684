package nft

import (
	"bytes"

	"github.com/google/nftables"
)

// placed is an element and the set it lies in.
type placed struct {
	set     *nftables.Set
	element nftables.SetElement
}

// equal compares what two elements of the same place say.
func (p placed) equal(o placed) bool {
	if !bytes.Equal(p.element.Val, o.element.Val) || !bytes.Equal(p.element.KeyEnd, o.element.KeyEnd) {
		return false
	}
	v, w := p.element.VerdictData, o.element.VerdictData
	return v == w || v != nil && w != nil && *v == *w
}

// placement is elements by where they lie.
type placement map[place]placed

type place struct {
	set *nftables.Set
	key string
}

func (p placement) put(set *nftables.Set, e nftables.SetElement) {
	p[place{set, string(e.Key)}] = placed{set, e}
}

// changes are elements to remove and to add, by set.
type changes struct {
	order []*setChange
	sets  map[*nftables.Set]*setChange
}

type setChange struct {
	set      *nftables.Set
	del, add []nftables.SetElement
}

func newChanges(sets ...*nftables.Set) *changes {
	c := &changes{sets: map[*nftables.Set]*setChange{}}
	for _, s := range sets {
		sc := &setChange{set: s}
		c.sets[s] = sc
		c.order = append(c.order, sc)
	}
	return c
}
