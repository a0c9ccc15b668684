// Package evict says when a node is short of memory, disk or process ids, by upstream's thresholds (evictionHard).
//
// Today it computes the node's pressure conditions, with their hold time; ranking and evicting pods is a later issue. It
// owns the memory of when a pressure was last seen, runs no goroutines, and may be imported by the kubelet.
package evict
