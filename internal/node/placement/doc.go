// Package placement decides which CPUs, which NUMA nodes' memory and which devices a pod's containers get, when the node admits the pod,
// and sees to it that they keep them and no one else has them. It is what upstream calls the container manager's resource managers.
//
// It joins the topology manager (node/topology) to what is given out (node/cpus, node/memorymap, node/devices). The kubelet asks it at
// admission, when a container is made, and when a pod is over; it asks the kubelet for its pods and the runtime to move containers that
// share CPUs (reconcile.go). With the default policies all of it is two sockets that wait for a caller.
//
// Its goroutines are those of Run: two listeners and, with the static CPU policy, the one that moves containers. internal/node/kubelet
// imports it.
package placement
