// Package netnstest gives tests network namespaces: the whole test binary runs in one of its own, so that tests do as they
// like and leave nothing behind, and each test makes further ones for its pods and neighbours.
//
// It owns the processes that hold the namespaces, which end with their tests. Only tests import it.
package netnstest
