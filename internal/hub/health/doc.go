// Package health says how a hub is: its health checks (/livez, /readyz, /healthz), its metrics (/metrics) and what
// `go tool pprof` reads of the process (/debug/pprof).
//
// It owns the outcomes of checks and the counters of requests, and runs no goroutines. Only the hub imports it.
package health
