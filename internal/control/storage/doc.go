// Package storage has the controllers of claims and volumes: the binder, which gives claims their volumes and volumes their
// phases (claim.go, volume.go), the makers of claims for ephemeral volumes, and what grows and attaches volumes.
//
// Each decision is a pure function from what is seen to a plan; Reconcile gathers the one and carries out the other, one write
// after the other, so that a crash between any two of them leaves a state from which the next look goes on. A controller runs only
// in clusters that have something for it.
//
// The manager of controllers imports it.
package storage
