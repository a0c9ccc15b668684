package plugin

// Event is a set of kinds of change in the cluster, one bit each.
type Event uint32

// The changes that may make an unschedulable pod schedulable.
const (
	NodeAdded       Event = 1 << iota // a node has come
	NodeLabel                         // a node's labels have changed
	NodeTaint                         // a node's taints have changed
	NodeAllocatable                   // a node's allocatable resources have changed
	NodeCordon                        // a node was cordoned or uncordoned
	PodPlaced                         // a pod has got a node, be it for certain or assumed
	PodLeft                           // a pod that had a node was deleted or has finished
	PodShrank                         // a pod that has a node asks for less than before
	PodUpdated                        // the pending pod itself was changed
	PodLabels                         // the labels of a pod that has a node have changed
	TargetLabels                      // the labels of the pending pod itself have changed
	NodeLeft                          // a node has gone
	NodeFeatures                      // a node's kubelet declares other features
	StorageChanged                    // a claim, a volume or what says how volumes are made, limited or attached
	DevicesChanged                    // a claim of devices, or what says which devices there are
	ClaimsNamed                       // the pending pod was told the names of claims that were made for it
)

// NodeChanged is every change of a node that is already there.
const NodeChanged = NodeLabel | NodeTaint | NodeAllocatable | NodeCordon | NodeFeatures

// Change is one change in the cluster. A change of a node may be several events at once.
type Change struct {
	Event Event
	Node  *Node // the node it happened on, as it is now; nil for PodUpdated, TargetLabels and ClaimsNamed
	Old   *Node // NodeChanged, NodeLeft: the node before
	Pod   *Pod  // PodPlaced, PodLeft, PodShrank, PodLabels: the pod on the node; for PodShrank as it was before
	Was   *Pod  // PodLabels, TargetLabels: the pod before

	// StorageChanged, DevicesChanged: the object as it is and as it was, as its own type; nil for what is not there.
	Object, Previous any
}
