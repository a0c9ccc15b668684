// Package suite is upstream's programs with their settings as parts of one cluster of sampan's: what `up`, `server` and `agent` can be
// told. A flag of theirs that is a component's is the row of that component's table, with its default.
//
// It owns no data and runs no goroutine. internal/plane, internal/machine/node, internal/cluster and cmd/sampan import it.
package suite
