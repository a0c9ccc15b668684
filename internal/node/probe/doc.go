// Package probe asks containers whether they have started, live and are ready: over HTTP, TCP, gRPC or by a command in the
// container.
//
// [Worker] is one probe of one container: one goroutine, one timer, thresholds as in the spec; [Do] performs a single
// probe. It owns no data beyond a worker's counters. The kubelet may import it.
package probe
