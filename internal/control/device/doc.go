// Package device has the controllers of devices that pods claim: the one that makes claims from templates, takes consumers that are gone
// out of claims and frees what nobody uses (claims.go), and the one that evicts pods from tainted devices (evict.go).
//
// Each decision is a pure function from what is seen to a plan; Reconcile gathers the one and carries out the other, one write
// after the other, so that a crash between any two of them leaves a state from which the next look goes on. A controller runs only
// in clusters that have something for it.
//
// The manager of controllers imports it.
package device
