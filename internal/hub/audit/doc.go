// Package audit records who asked for what and how it ended, one event per request, in the form of audit.k8s.io/v1 at level
// Metadata. A Sink keeps events; Discard keeps none, Lines writes one JSON document a line.
//
// It owns nothing but the writer it is given and runs no goroutines. The hub and client/local import it.
package audit
