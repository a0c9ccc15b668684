// Package gc removes what nobody wants any more: the contents of namespaces that are being deleted (namespace-controller),
// and objects whose owners are gone (garbage-collector-controller). And it keeps storage objects that are still in use
// (the protection controllers).
//
// [World] watches every kind that can be deleted, and the controllers share it. The garbage collector keeps of each object
// what ownership needs: who it is, who owns it, how it is being deleted. That graph is an opinion that may lag; it is
// trusted where it says that an owner exists (its deletion will be an event), and checked by a live read where it would
// lead to a deletion.
//
// Goroutines: one per watched kind, and those of loop.Controller. internal/control imports it and nobody else.
package gc
