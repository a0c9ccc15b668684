// Package catalog knows what is served, while that changes: the kinds, where their objects are kept, and what is answered by
// somebody else.
//
// What is served at one time is a [Snapshot], which never changes; [Catalog.Add] and [Catalog.Remove] put another in its place.
// A request takes one and keeps to it. What follows from a snapshot, such as discovery documents, is a [Derived] of it, made
// when somebody asks.
//
// The catalog owns the watch caches. That of a kind that components read anyway runs from the start; any other is started by
// the first who reads the kind and stops when nobody has for a while. A kind that nobody reads has no cache, no goroutine and
// no timer. Goroutines: those of the caches that run, and Run. Only the hub's rooms import it.
package catalog
