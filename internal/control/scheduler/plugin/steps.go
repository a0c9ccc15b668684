package plugin

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// The steps of an attempt beside filters and scores, in the order in which they run. All but PreBind run on the scheduler's
// goroutine and may not wait for anything.

// PostFilter looks for a way out when no node fits; preemption is one.
type PostFilter interface {
	Plugin
	// PostFilter gets the nodes whose verdict is not unresolvable, and without to try what evicting would bring. The first
	// plugin that nominates a node ends the search.
	PostFilter(pod *Pod, nodes []*Node, without Without) Nomination
}

// Without says what the filters would say of the pod at hand on node if victims, which are on it, were not there.
type Without func(node *Node, victims []*Pod) Verdict

// Nomination is what a PostFilter found. The zero value says: nothing.
type Nomination struct {
	// Node is where the pod will fit when what Evict does has come about. It is written to status.nominatedNodeName.
	Node string
	// Message is added to the pod's message, with or without a node: "preemption: 0/5 nodes are available: …".
	Message string
	// Victims are the pods that will have to go.
	Victims []types.UID
	// Cancel ends an earlier nomination of the pod: there is no way out any more.
	Cancel bool
	// Evict makes the room. It runs once, beside the scheduler's goroutine; its error is logged, and the pod is tried again
	// when something helps.
	Evict func(ctx context.Context) error
}

// Reserve keeps account of what a pod takes beside the node's resources.
type Reserve interface {
	Plugin
	// Reserve is told of the node that was chosen. An error gives the placement up; the pod is tried again after its backoff.
	Reserve(pod *Pod, node *Node) error
	// Unreserve takes Reserve back. It is called on every plugin, last one first, when the placement comes to nothing at any
	// later step, also on those whose Reserve failed or was not reached.
	Unreserve(pod *Pod, node string)
}

// Permit can hold a pod back that has a node, until others have one too.
type Permit interface {
	Rejecting
	// Permit is asked when everything is reserved.
	Permit(pod *Pod, node *Node) Permission
}

// Permission is the answer of a Permit. The zero value lets the pod go on.
type Permission struct {
	Verdict               // a verdict that does not fit gives the placement up
	Wait    time.Duration // above zero: the pod waits so long for this plugin's release and is rejected then
	Release []types.UID   // pods that this plugin has let wait and that may go on now
}

// PreBind does what must be done before the binding is written. It may wait, and talk to the hub.
type PreBind interface {
	Plugin
	// PreBind runs on a goroutine of its own per pod. An error gives the placement up; the pod is tried again after its
	// backoff.
	PreBind(ctx context.Context, pod *Pod, node string) error
}

// PostBind is a Reserve that is told that the pod it reserved for is bound, after which Unreserve is not called any more.
type PostBind interface {
	Reserve
	PostBind(pod *Pod)
}

// Watcher is an Index that is told, too, of what changes about a node beside what is on it.
type Watcher interface {
	Index
	// Touched is told that a pod on a node has a new version, or that one is nominated for the node, or is no longer.
	Touched(node string)
}

// Index is a plugin that counts over the whole cluster, for answers about a node that depend on other nodes and on the pods
// there. It is told of every change, and says in turn which of its answers a change has touched. It belongs to the
// scheduler's goroutine, like the snapshot that tells it.
type Index interface {
	Plugin
	// Node is told of a node's change. before and after are two versions of one node; Known is false for the one in which
	// the node is not there. The pods on it are the same in both.
	Node(before, after *Node)
	// Pod is told that a pod was put on a node (sign 1) or taken off it (-1); node is as it is afterwards. Known may be
	// false for it: pods can come before their node and stay behind it. A pod whose labels change is taken off and put on.
	Pod(pod *Pod, node *Node, sign int)
	// Since returns the nodes about which the plugin may answer otherwise, for pods with pod's signature, than it did at
	// version, beside those that have changed themselves, and the version now. ok is false when that may be any node.
	Since(pod *Pod, version uint64) (nodes []string, now uint64, ok bool)
}
