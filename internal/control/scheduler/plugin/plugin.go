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
	// Normalize turns a raw score into 0…MaxScore. least and most are the extremes of what the plugin gave the nodes that
	// passed. A plugin whose raw scores are comparable as they are embeds absolute instead.
	Normalize(raw, least, most int64) int64
}

// Static marks a filter or score whose answer changes only with the node's object or with Cluster, not with the pods on the
// node: it is not asked again when a pod comes or goes.
type Static interface{ Static() }

type static struct{}

func (static) Static() {}

// Absolute marks a score whose raw scores need no normalizing.
type Absolute interface{ Absolute() }

type absolute struct{}

func (absolute) Absolute() {}

// Normalize implements Score.
func (absolute) Normalize(raw, _, _ int64) int64 { return raw }

// MaxScore is the best a plugin can give a node.
const MaxScore = 100

// Cluster is what a score may want to know of all nodes.
type Cluster struct {
	Nodes int
	// ImageNodes counts the nodes that have an image, by its normalized name.
	ImageNodes map[string]int
}

// Stamp differs whenever a score of pod may have changed because of the cluster and not of the node.
func (c Cluster) Stamp(pod *Pod) uint64 {
	var h uint64
	for _, image := range pod.images {
		h = h*1000003 + uint64(c.ImageNodes[image])
	}
	if h != 0 {
		h = h*1000003 + uint64(c.Nodes)
	}
	return h
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

// reversed turns a "more is worse" raw score into 0…MaxScore; when none is above zero all are MaxScore.
func reversed(raw, most int64) int64 {
	if most <= 0 {
		return MaxScore
	}
	return MaxScore - raw*MaxScore/most
}

// stretched scales raw scores so that the best is MaxScore.
func stretched(raw, most int64) int64 {
	if most <= 0 {
		return raw
	}
	return raw * MaxScore / most
}
