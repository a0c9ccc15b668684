// Package cpus gives containers CPUs of their own: it is the static CPU manager.
//
// A container of a Guaranteed pod that asks for a whole number of CPUs gets that many to itself; all others run on those that are left, among
// which are always the reserved ones. Which CPUs it gets follows from how the machine is built (take.go: whole sockets and NUMA nodes
// before whole cores before single CPUs; spread.go: evenly over NUMA nodes) and from the NUMA nodes that the topology manager
// chose (manager.go, hints.go).
//
// It owns the table of who has which CPUs, in memory and in a checkpoint of upstream's form (state.go). It runs no goroutine and
// touches no cgroup: node/placement asks it which CPUs a container runs on and tells the runtime.
package cpus
