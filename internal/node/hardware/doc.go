// Package hardware reads how a machine is built: which CPUs share a core, a cache, a NUMA node and a socket, how much memory and how
// many huge pages each NUMA node has, and how far these are from each other.
//
// It reads files below a root that is given, so that a test's folder can stand for a machine. It keeps nothing and runs no goroutine.
// The parts of the kubelet that give out CPUs, memory and devices import it.
package hardware
