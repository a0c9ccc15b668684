// Package group is the one list of the API groups: the scheme is filled from it, discovery prints groups in its order, and
// tools/openapi describes the types of those that are served.
//
// It owns no data and runs no goroutine. internal/api, the hub's discovery and tools/openapi (a module of its own, which is why
// this package imports nothing of the others) import it.
package group
