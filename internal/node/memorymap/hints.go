package memorymap

import (
	"errors"

	"sampan.dev/internal/node/topology"
)

// reusable is what init containers of the pod that is being admitted leave to later ones, by the nodes it came from.
type reusable map[topology.Mask]request

// options are the sets of NUMA nodes that can serve a request, each kind of memory alike, those of the fewest nodes preferred that
// could serve it if nothing were in use. A node that serves single containers is in no group, and one that serves in a group
// is in no other and serves no single container.
func (a accounts) options(r request, again reusable) []topology.Hint {
	ids := a.ids()
	least := len(ids)
	var out []topology.Hint
	topology.Subsets(ids, func(set topology.Mask) {
		nodes := set.IDs()
		for kind, n := range r {
			if _, allocatable := a.free(nodes, kind); allocatable < n {
				return
			}
		}
		least = min(least, len(nodes))
		if !a.may(nodes) {
			return
		}
		for kind, n := range r {
			if free, _ := a.free(nodes, kind); free+again[set][kind] < n {
				return
			}
		}
		out = append(out, topology.Hint{Mask: set})
	})
	for i := range out {
		out[i].Preferred = out[i].Mask.Count() == least
	}
	return out
}

// may reports whether the nodes may serve together, or the one node alone, beside what they serve already.
func (a accounts) may(nodes []int) bool {
	if len(nodes) == 1 {
		return len(a[nodes[0]].Cells) <= 1
	}
	return a.mayGroup(nodes)
}

// mayGroup reports whether several nodes may serve as a group.
func (a accounts) mayGroup(nodes []int) bool {
	for _, id := range nodes {
		n := a[id]
		if n.NumberOfAssignments > 0 && (len(n.Cells) == 1 || !sameNodes(n.Cells, nodes)) {
			return false
		}
	}
	return true
}

// bestOf is the preferred hint of the fewest nodes, else the one of the fewest; an empty one when there is none.
func bestOf(hints []topology.Hint, suits func(topology.Mask) bool) (best topology.Hint) {
	for _, h := range hints {
		switch {
		case !suits(h.Mask):
		case best.Mask == 0, h.Preferred && !best.Preferred, h.Preferred == best.Preferred && h.Mask.Narrower(best.Mask):
			best = h
		}
	}
	return best
}

// choose finds the nodes for a request: those of the topology manager's hint; where it has none, the best that there are; where
// these have too little, more nodes beside them.
func (a accounts) choose(r request, hint topology.Hint, again reusable) (topology.Mask, error) {
	best := hint
	if best.Mask == 0 {
		best = bestOf(a.options(r, again), func(topology.Mask) bool { return true })
		if best.Mask == 0 {
			return 0, errors.New("[memorymanager] failed to get the default NUMA affinity, no NUMA nodes with enough memory is available")
		}
		if hint.Preferred && !best.Preferred {
			return 0, errors.New("[memorymanager] failed to find the default preferred hint")
		}
	}
	if !a.has(best.Mask, r) {
		wider := bestOf(a.options(r, again), func(m topology.Mask) bool { return m&best.Mask == best.Mask })
		if wider.Mask == 0 {
			return 0, errors.New("[memorymanager] failed to find NUMA nodes to extend the current topology hint")
		}
		if best.Preferred && !wider.Preferred {
			return 0, errors.New("[memorymanager] failed to find the extended preferred hint")
		}
		best = wider
	}
	if nodes := best.Mask.IDs(); len(nodes) > 1 && !a.mayGroup(nodes) {
		return 0, errors.New("[memorymanager] preferred hint violates NUMA node allocation")
	}
	return best.Mask, nil
}

// has reports whether nodes have a request free, without what could be reused.
func (a accounts) has(set topology.Mask, r request) bool {
	for kind, n := range r {
		if free, _ := a.free(set.IDs(), kind); free < n {
			return false
		}
	}
	return true
}

// hints are the options for each kind of memory. Where there are none it says nothing, as upstream does: the pod is refused when memory
// is to be allocated.
func (a accounts) hints(r request, again reusable) topology.Hints {
	options := a.options(r, again)
	if len(options) == 0 {
		return nil
	}
	out := topology.Hints{}
	for kind := range r {
		out[string(kind)] = options
	}
	return out
}

// given are hints for what a container has already; nil when that is not what it asks for.
func given(blocks []Block, r request) topology.Hints {
	if len(blocks) != len(r) {
		return nil
	}
	out := topology.Hints{}
	for _, b := range blocks {
		if n, ok := r[b.Type]; !ok || n != b.Size {
			return nil
		}
		out[string(b.Type)] = append(out[string(b.Type)], topology.Hint{Mask: topology.MaskOf(b.NUMAAffinity...), Preferred: true})
	}
	return out
}
