package topology

import (
	"fmt"
	"math/bits"
)

// Mask is a set of NUMA nodes, the node with ID i as bit i. The empty mask stands for no preference.
type Mask uint64

// MaxID is the highest ID that a NUMA node may have to be in a mask.
const MaxID = 63

// MaskOf is the set of the given nodes. IDs out of range are left out.
func MaskOf(ids ...int) Mask {
	var m Mask
	for _, id := range ids {
		if id >= 0 && id <= MaxID {
			m |= 1 << id
		}
	}
	return m
}

// Count is the number of nodes.
func (m Mask) Count() int { return bits.OnesCount64(uint64(m)) }

// Has reports whether a node is among them.
func (m Mask) Has(id int) bool { return id >= 0 && id <= MaxID && m&(1<<id) != 0 }

// IDs are the nodes in order.
func (m Mask) IDs() []int {
	var out []int
	for rest := uint64(m); rest != 0; rest &= rest - 1 {
		out = append(out, bits.TrailingZeros64(rest))
	}
	return out
}

// Narrower reports whether m has fewer nodes than o or, with as many, the lower ones.
func (m Mask) Narrower(o Mask) bool {
	if a, b := m.Count(), o.Count(); a != b {
		return a < b
	}
	return m < o
}

func (m Mask) String() string { return fmt.Sprint(m.IDs()) }

// Subsets calls fn with every set that can be made of the given nodes, but the empty one. There are 2^n - 1 of them.
func Subsets(ids []int, fn func(Mask)) {
	for pick := uint64(1); pick < 1<<len(ids); pick++ {
		var m Mask
		for rest := pick; rest != 0; rest &= rest - 1 {
			m |= MaskOf(ids[bits.TrailingZeros64(rest)])
		}
		fn(m)
	}
}
