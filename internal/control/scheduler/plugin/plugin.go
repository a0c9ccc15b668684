package plugin

// Plugin is a filter, a score, or both. Which ones run, and with what weight, is the scheduler's literal list.
type Plugin interface {
	// Name is upstream's name of the plugin.
	Name() string
	// Helps reports whether a change in the cluster could make a node fit that this plugin has rejected for pod. It is
	// asked only of plugins that rejected the pod, and it must answer true when in doubt.
	Helps(pod *Pod, c Change) bool
}

// Filter says whether a pod may run on a node.
type Filter interface {
	Plugin
	// Filter returns nil when the pod may run there, or the reasons, in upstream's words, why it may not.
	Filter(pod *Pod, node *Node) []string
}

// Score prefers some of the nodes that passed every filter.
type Score interface {
	Plugin
	// Score rates each node; Scores are made comparable afterwards by Normalize.
	Score(pod *Pod, node *Node, cluster Cluster) int64
	// Normalize turns raw scores into 0…MaxScore in place. It may do nothing.
	Normalize(scores []int64)
}

// MaxScore is the best a plugin can give a node.
const MaxScore = 100

// Cluster is what a score may want to know of all nodes.
type Cluster struct {
	Nodes int
	// ImageNodes counts the nodes that have an image, by its normalized name.
	ImageNodes map[string]int
}

// ChangeKind is what happened in the cluster.
type ChangeKind uint8

// The changes that may make an unschedulable pod schedulable.
const (
	NodeAdded ChangeKind = iota + 1
	NodeChanged
	PodLeft    // a bound pod was deleted, finished, or shrank
	PodUpdated // the pending pod itself was changed
)

// Change is one of them. Old is set for NodeChanged only.
type Change struct {
	Kind ChangeKind
	Node *Node // the node it happened on; nil for PodUpdated
	Old  *Node
	Pod  *Pod // PodLeft: the pod that left
}

// reversed turns "more is worse" raw scores into 0…MaxScore, "less is better"; all zero becomes all MaxScore.
func reversed(scores []int64) {
	var most int64
	for _, s := range scores {
		most = max(most, s)
	}
	for i, s := range scores {
		if most == 0 {
			scores[i] = MaxScore
		} else {
			scores[i] = MaxScore - s*MaxScore/most
		}
	}
}

// stretched scales raw scores so that the best is MaxScore.
func stretched(scores []int64) {
	var most int64
	for _, s := range scores {
		most = max(most, s)
	}
	if most == 0 {
		return
	}
	for i, s := range scores {
		scores[i] = s * MaxScore / most
	}
}
