// Package bootstrap writes what a cluster has before anyone has written: namespaces, the RBAC roles and bindings of upstream
// and kubeadm, priority classes, flow schemas with their priority levels, the ConfigMaps that joining nodes and extension API servers read, and the Services
// kubernetes and kube-dns; and while the hub runs it keeps the Service kubernetes pointing here and the flow schemas as they are.
//
// It owns the list of these objects (rbac.jsonl, upstream v1.37.1's own dump) and nothing else. Everything goes through the
// hub's own door, so that it is admitted and stored as any write is. Ensure writes in parallel and returns; Run holds the
// informers of what it keeps and one goroutine.
//
// The hub alone imports it.
package bootstrap
