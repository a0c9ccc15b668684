// Package memorymap keeps account of which container has how much memory, and how many huge pages, of which NUMA nodes: it is the static
// memory manager.
//
// Containers of Guaranteed pods get what they ask for on one NUMA node, or on a group of them when no single one has as much. A node
// serves single containers or one group, never both, so that what a group is promised stays there (hints.go). How much each node has
// to give is its memory less what is reserved on it (table.go).
//
// It owns the account, in memory and in a checkpoint of upstream's form (state.go). It runs no goroutine and touches no cgroup:
// node/placement asks it for the NUMA nodes of a container and tells the runtime.
package memorymap
