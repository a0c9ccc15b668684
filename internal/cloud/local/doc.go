// Package local is the cloud of a cluster that is in none: a Service of type LoadBalancer gets the addresses of the nodes (place.go), or
// one of given ranges that is its own (pool.go, assign.go), which the loops of internal/control/cloud have a node announce. The proxies
// lead what comes to such an address and the service's port to its pods, so there is nothing to run.
//
// Which service has what is read from the services; beside that it owns what it has given out of ranges and cannot see there yet. It runs
// no goroutine. internal/component/cloud imports it.
package local
