// Package hubtest runs a hub over the memory store, without a server, for tests of its rooms, which it hands out: verbs,
// admission, authorization, allocation and reviews are the real ones. internal/testkit has a whole control plane.
//
// A Hub runs the goroutines of its caches and informers until the test's context ends. Only tests import it.
package hubtest
