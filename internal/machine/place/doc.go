// Package place makes and takes away what a node has on its machine: the run directory in memory, trees with mounts in them, named
// network namespaces, cgroups and the processes in them.
//
// Everything may be called twice, and again after a crash in its middle: what is gone already is no error. The package owns no data
// and runs no goroutine. The packages of internal/machine import it.
package place
