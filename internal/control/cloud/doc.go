// Package cloud holds the loops of a cloud controller manager: they carry between the cluster's objects and a provider
// (internal/cloud). balancer*.go is service-lb-controller, announce*.go has nodes announce balancers' addresses on their network, the others
// are named for what they look after.
//
// What is to be done is decided by pure functions of objects; the loops ask the provider and write. Each runs the goroutines of its
// loop.Controller. internal/control lists them.
package cloud
