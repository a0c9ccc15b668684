// Package nodes holds the controllers that look after nodes and what becomes of pods when one fails: node-lifecycle (health,
// taints), taint-eviction, node-ipam (pod ranges), pod-garbage-collector, ttl.
//
// What they decide is in pure functions: judge (health), zoneStates, desiredTaints, evictionTime. The package owns, in
// memory only, when each node was last heard of by our own clock, the zones' states and eviction rates, and when each pod's
// toleration began to run out. Nothing polls: a silent node is noticed by a timer that its last heartbeat has set.
//
// Their goroutines are those of loop.Controller. internal/control imports them and nobody else.
package nodes
