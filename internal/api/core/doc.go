// Package core describes the kinds of the core group ("" / v1), one file per kind and one constructor per file ([Pods],
// [Nodes], …). A kind too long for one file is spread over files that start with its name (pod_defaults.go,
// pod_columns.go, …).
//
// It owns no data, runs no goroutines and does no I/O; all of its functions are pure. It imports api and api/valid.
// api/all lists its kinds, and kinds of other groups import it for the defaults of pod templates.
package core
