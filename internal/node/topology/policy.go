package topology

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"sampan.dev/internal/node/hardware"
)

// Names of the policies.
const (
	None           = "none"
	BestEffort     = "best-effort"
	Restricted     = "restricted"
	SingleNUMANode = "single-numa-node"
)

// Names of the scopes.
const (
	ContainerScope = "container"
	PodScope       = "pod"
)

// DefaultMaxNodes is how many NUMA nodes a machine may have unless an option allows more: the sets to consider double with each.
const DefaultMaxNodes = 8

// Options are the policy's.
type Options struct {
	Closest  bool // among sets of as many nodes the one whose nodes are closest to each other
	MaxNodes int
}

// ReadOptions reads --topology-manager-policy-options.
func ReadOptions(m map[string]string) (Options, error) {
	o := Options{MaxNodes: DefaultMaxNodes}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		var err error
		switch value := m[name]; name {
		case "prefer-closest-numa-nodes":
			if o.Closest, err = strconv.ParseBool(value); err != nil {
				return o, fmt.Errorf("bad value for option %q: %w", name, err)
			}
		case "max-allowable-numa-nodes":
			if o.MaxNodes, err = strconv.Atoi(value); err != nil {
				return o, fmt.Errorf("unable to convert policy option to integer %q: %w", name, err)
			}
			if o.MaxNodes < DefaultMaxNodes {
				return o, fmt.Errorf("the minimum value of %q should not be less than %v", name, DefaultMaxNodes)
			}
		default:
			return o, fmt.Errorf("unknown Topology Manager Policy option: %q", name)
		}
	}
	return o, nil
}

// Policy merges hints, and says whether what came out is good enough. The policy none has none.
type Policy struct {
	name      string
	options   Options
	ids       []int
	all       Mask // of ids
	distances map[int][]uint64
}

// NewPolicy makes the policy of that name for a machine; nil for none.
func NewPolicy(name string, o Options, m *hardware.Machine) (*Policy, error) {
	switch name {
	case None:
		return nil, nil
	case BestEffort, Restricted, SingleNUMANode:
	default:
		return nil, fmt.Errorf("unknown policy: %q", name)
	}
	p := &Policy{name: name, options: o, distances: map[int][]uint64{}}
	for _, n := range m.Nodes {
		if n.ID > MaxID {
			return nil, fmt.Errorf("unsupported NUMA node %d: the highest that can be is %d", n.ID, MaxID)
		}
		if o.Closest && n.Distances == nil {
			return nil, errors.New("cannot discover NUMA topology: the machine does not say how far its NUMA nodes are from each other")
		}
		p.ids, p.distances[n.ID] = append(p.ids, n.ID), n.Distances
	}
	if p.all = MaskOf(p.ids...); len(p.ids) > o.MaxNodes {
		return nil, fmt.Errorf("unsupported on machines with more than %v NUMA Nodes", o.MaxNodes)
	}
	return p, nil
}

// Name of the policy; none for nil.
func (p *Policy) Name() string {
	if p == nil {
		return None
	}
	return p.name
}

// Merge returns the set of nodes that is best for everything that the providers were asked for, and whether the policy lets it in.
func (p *Policy) Merge(providers []Hints) (Hint, bool) {
	if p == nil {
		return Hint{}, true
	}
	all := lists(providers)
	if p.name == SingleNUMANode {
		all = single(all)
	}
	hint := p.merge(all)
	if p.name == SingleNUMANode && hint.Mask == p.all {
		hint.Mask = 0 // nothing is asked of any node, or nothing fits
	}
	return hint, p.name == BestEffort || hint.Preferred
}
