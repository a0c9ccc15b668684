// Package testkit is a real control plane for tests: the hub on the memory store, every controller, and the scheduler,
// joined as cmd/sampan joins them. It runs in a testing/synctest bubble as well as outside of one.
//
// Its goroutines end, and are waited for, when the test does. Only tests and benches import it.
package testkit
