// Package e2e drives a running cluster with stock kubectl and real containers: txtar scripts under testdata, each in a
// namespace of its own, on one cluster that the test makes in a data directory of its own and removes.
//
// It needs root and the binaries of `make build`; run it with `make e2e`.
package e2e
