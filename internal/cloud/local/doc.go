// Package local is the cloud of a cluster that is in none: a Service of type LoadBalancer gets the addresses of the nodes. The
// proxies lead what comes to such an address and the service's port to its pods, so there is nothing to run.
//
// It owns no data and runs no goroutine: which service has a port is read from the services. internal/plane imports it.
package local
