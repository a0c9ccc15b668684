// Package steps tells a person what is being done while a cluster starts, and how long each thing took.
//
// It owns the lines on the terminal and runs no goroutine. cmd/sampan, internal/cluster, internal/plane and internal/machine/node
// import it.
package steps
