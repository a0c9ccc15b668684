// Package podstatus writes the statuses of a node's pods to the hub, and takes a pod off the hub when nothing of it is left on the
// node.
//
// It owns the newest status of each pod, runs one goroutine per pod that has something to write, and merges what the kubelet says with
// what others say in the same status. What a status is, node/podstate decides. The kubelet imports it.
package podstatus
