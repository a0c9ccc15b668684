// Package daemon runs the long-lived parts of a process together. Until all that was asked for is up, a part that fails ends
// all of them, since whoever started the process waits for its word; from then on (Settle) it is started again alone, with a
// back-off, and the others do not notice. When the context ends, all are told to stop and waited for.
//
// It owns the list of parts, and one goroutine for each of them. internal/cluster, internal/plane and internal/machine/node import it.
package daemon
