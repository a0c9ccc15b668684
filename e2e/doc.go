// Package e2e drives a running cluster with stock kubectl and real containers: txtar scripts under testdata, each in a
// namespace of its own, on one cluster that the test makes in a data directory of its own and removes.
//
// Tests that mostly wait, and look at nothing but their own cluster, run side by side (t.Parallel), after all others: those look at the
// whole machine, or need it for themselves.
//
// It needs root and the binaries of `make build`; run it with `make e2e`.
package e2e
