package memorymap

import (
	"maps"
	"slices"

	"sampan.dev/internal/node/hardware"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// table is what one NUMA node has of one kind of memory, in bytes: Total is SystemReserved and, where pages of other kinds
// take none of it, Allocatable, and that is Reserved and Free.
type table struct {
	Total          uint64 `json:"total"`
	SystemReserved uint64 `json:"systemReserved"`
	Allocatable    uint64 `json:"allocatable"`
	Reserved       uint64 `json:"reserved"` // by containers
	Free           uint64 `json:"free"`
}

// nodeState is the account of one NUMA node.
type nodeState struct {
	NumberOfAssignments int                            `json:"numberOfAssignments"` // one for each kind of memory of each container
	MemoryMap           map[corev1.ResourceName]*table `json:"memoryMap"`
	Cells               []int                          `json:"cells"` // the node itself, or the group it serves in
}

// accounts are those of all NUMA nodes, by ID.
type accounts map[int]*nodeState

// Block is memory of one kind that a container was given from one NUMA node or from several together.
type Block struct {
	NUMAAffinity []int               `json:"numaAffinity"`
	Type         corev1.ResourceName `json:"type"`
	Size         uint64              `json:"size"`
}

// Reserved is the memory of each kind that is kept from containers, by NUMA node.
type Reserved map[int]corev1.ResourceList

// fresh are the accounts of a machine that has given nothing out yet.
func fresh(m *hardware.Machine, reserved Reserved) accounts {
	out := accounts{}
	for _, n := range m.Nodes {
		kept := func(name corev1.ResourceName) uint64 {
			q := reserved[n.ID][name]
			return uint64(max(0, q.Value()))
		}
		s := &nodeState{MemoryMap: map[corev1.ResourceName]*table{}, Cells: []int{n.ID}}
		pages := uint64(0)
		for _, h := range n.HugePages {
			name := corev1.ResourceName(corev1.ResourceHugePagesPrefix + resource.NewQuantity(int64(h.Size), resource.BinarySI).String())
			s.MemoryMap[name] = fill(h.Size*h.Count, kept(name), 0)
			pages += h.Size * h.Count
		}
		s.MemoryMap[corev1.ResourceMemory] = fill(n.Memory, kept(corev1.ResourceMemory), pages)
		out[n.ID] = s
	}
	return out
}

func fill(total, reserved, taken uint64) *table {
	free := total - min(total, reserved+taken)
	return &table{Total: total, SystemReserved: reserved, Allocatable: free, Free: free}
}

// give takes size bytes of a kind from the nodes in turn.
func (a accounts) give(b Block, size uint64) {
	for _, id := range b.NUMAAffinity {
		n := a[id]
		n.NumberOfAssignments++
		n.Cells = slices.Clone(b.NUMAAffinity)
		if t := n.MemoryMap[b.Type]; t != nil {
			part := min(size, t.Free)
			t.Free, t.Reserved, size = t.Free-part, t.Reserved+part, size-part
		}
	}
}

// takeBack undoes give.
func (a accounts) takeBack(b Block) {
	size := b.Size
	for _, id := range b.NUMAAffinity {
		n := a[id]
		if n == nil {
			continue
		}
		if n.NumberOfAssignments--; n.NumberOfAssignments == 0 {
			n.Cells = []int{id}
		}
		if t := n.MemoryMap[b.Type]; t != nil {
			part := min(size, t.Reserved)
			t.Free, t.Reserved, size = t.Free+part, t.Reserved-part, size-part
		}
	}
}

// free is how much memory of a kind the nodes have left, and allocatable how much they had at first.
func (a accounts) free(ids []int, kind corev1.ResourceName) (free, allocatable uint64) {
	for _, id := range ids {
		if n := a[id]; n != nil {
			if t := n.MemoryMap[kind]; t != nil {
				free, allocatable = free+t.Free, allocatable+t.Allocatable
			}
		}
	}
	return free, allocatable
}

// ids are the NUMA nodes in order.
func (a accounts) ids() []int { return slices.Sorted(maps.Keys(a)) }

// equal compares accounts. How much each node of a group has given does not count, only their sum.
func (a accounts) equal(b accounts) bool {
	if len(a) != len(b) {
		return false
	}
	for id, x := range a {
		y := b[id]
		if y == nil || x.NumberOfAssignments != y.NumberOfAssignments || !sameNodes(x.Cells, y.Cells) || len(x.MemoryMap) != len(y.MemoryMap) {
			return false
		}
		for kind, t := range x.MemoryMap {
			u := y.MemoryMap[kind]
			if u == nil || t.Total != u.Total || t.SystemReserved != u.SystemReserved || t.Allocatable != u.Allocatable {
				return false
			}
			freeX, _ := a.free(x.Cells, kind)
			freeY, _ := b.free(x.Cells, kind)
			if freeX != freeY {
				return false
			}
		}
	}
	return true
}

func sameNodes(a, b []int) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
