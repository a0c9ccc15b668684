// Package hubtest puts the hub's rooms together over the memory store, without a server, for tests of those rooms: verbs,
// admission, authorization, allocation and reviews are the real ones. internal/testkit has the whole hub.
//
// A Hub runs the goroutines of its caches and informers until the test's context ends. Only tests import it.
package hubtest
