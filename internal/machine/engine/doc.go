// Package engine is the container runtime of a node: the bundled containerd as it is configured, its end with all pods, and what is put
// into the places of a runtime that is somebody else's.
//
// It owns the list of files that it put there. [Take] starts containerd, if it must, for as long as the call lasts. cmd/sampan and
// the packages of internal/machine import it.
package engine
