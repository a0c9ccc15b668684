// Package plane is the control plane as one process runs it: the hub with its store, the controllers and the scheduler, with the
// keys, the listener and the address that others reach it at.
//
// A [Plane] outlives its hub: one that fails is followed by another, and the clients that the plane hands out lead to the one that there
// is. It owns the store and the listener for as long as the parts run. internal/cluster and cmd/sampan import it.
package plane
