// Package topology decides on which NUMA nodes of the machine a pod's containers get what they ask for, and whether the node takes
// a pod that cannot have all of it close together: it is the topology manager.
//
// Those that give something out (CPUs, memory, devices) are its providers. Each says in hints on which sets of NUMA nodes it could
// serve a container; the policy merges the hints of all into the best set that suits everybody (merge.go), the scope says
// whether that is done for each container or for the whole pod, and each provider is then asked to allocate on that set
// (manager.go).
//
// It owns the sets that admitted containers were given, until they are forgotten. It runs no goroutine. internal/node/placement
// joins it to its providers and to the kubelet.
package topology
