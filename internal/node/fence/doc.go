// Package fence ends the exclusive pods of a node that is cut off from the API server, so that others may take their place without two of
// them running at one time.
//
// A node whose lease has not been renewed for a while is either dead or cut off, and the control plane cannot know which. Upstream waits
// for a human then. A node with a [Fence] promises instead, in an annotation, that so long after the last renewal its exclusive pods have
// ended; the control plane, which saw that renewal no earlier than the node sent it, waits as long and replaces them.
//
// [Fence.Run] is one goroutine, which looks once a second; a node without a promise has none. The time of the last renewal is kept in a
// file in memory, for a kubelet that is started anew meanwhile. The kubelet imports it.
package fence
