// Package podspec turns the spec of a pod into what a container runtime is told: environment, security context, resolver
// configuration, host names, mounts, resources of containers and of the sandbox.
//
// All are functions of values; what they need of the node (addresses, config maps, the node's own resolver configuration) they are
// given. Errors are those that the API shows as the reason of a container that waits. The kubelet imports it, and prepares on the
// host what is described here.
package podspec
