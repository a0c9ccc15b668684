package plugin

import (
	"iter"

	"k8s.io/apimachinery/pkg/types"
)

// Area is a plugin's number of a place in the cluster, as one sort of pods sees it. The numbers of two sorts have nothing to do
// with each other.
type Area int32

// Areal is a plugin whose answer about a node depends on pods on other nodes, but not on which node it is: nodes of one area
// get one answer. A pod that comes or goes somewhere changes what is said of areas, while few nodes get into another area, so
// that nothing has to look at all nodes. It is an Index.
type Areal interface {
	Signed
	Index
	// Area returns the area of a node for pods like pod. It changes only with the node's object, with the pods on the node,
	// and with a new version (Since).
	Area(pod *Pod, node *Node) Area
}

// AreaFilter is a Filter that judges areas. What its Filter says of a node is what it says of the node's area.
type AreaFilter interface {
	Areal
	Filter
	// FilterArea judges an area as it is now.
	FilterArea(pod *Pod, area Area) Verdict
}

// Indifferent is an AreaFilter that lets some pods go anywhere.
type Indifferent interface {
	// Indifferent reports whether FilterArea lets pods with pod's signature go to every area, whatever is there.
	Indifferent(pod *Pod) bool
}

// AreaScore prefers some areas.
type AreaScore interface {
	Areal
	// ScoreAreas puts into scores what 0…MaxScore the nodes of each area get, when these are all areas with nodes that passed
	// every filter, and so many nodes of each. An area may come more than once.
	ScoreAreas(pod *Pod, areas []Area, nodes []int32, scores []int64)
}

// Dated is a plugin whose way of signing a pod changes with the cluster: a signature made in another epoch must be made anew.
type Dated interface {
	Plugin
	// Epoch counts such changes.
	Epoch() uint64
}

// Looker is a plugin that looks at pods on nodes as they are now. An Index is told of a pod again only when the pod takes or
// counts otherwise.
type Looker interface {
	Plugin
	// Lookup gives it the newest version of a pod that has a node, by its UID; nil when there is none.
	Lookup(func(types.UID) *Pod)
}

// Surveyor is an Index that looks at all pods on nodes from time to time.
type Surveyor interface {
	Index
	// Placed gives it all pods that are on nodes, with the nodes' names, once for all; what it iterates over is as of then.
	Placed(iter.Seq2[*Pod, string])
}
