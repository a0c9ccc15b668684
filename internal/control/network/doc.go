// Package network holds the controllers that say where services lead: endpointslice, endpoints, and
// endpointslice-mirroring for Endpoints made by hand.
//
// What a service's slices should be is a pure function of the service, its pods and their nodes (slicesFor), and the
// writes that lead there from the present slices are another (planSlices), which touches as few slices as it can. The
// package owns, per service, the times of the changes it has reported (triggers).
//
// Their goroutines are those of loop.Controller. internal/control imports them and nobody else.
package network
