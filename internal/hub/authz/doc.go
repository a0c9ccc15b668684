// Package authz decides whether a caller may do what it asks: RBAC over the stored roles and bindings, and the Node
// authorizer, which ties a kubelet to the objects of the pods on its node.
//
// It owns two indexes, kept current by handlers on the hub's own informers: bindings by subject, so that a decision looks
// only at what concerns the caller (a microsecond or two, however many bindings there are), and objects by the nodes whose
// pods name them. It runs no goroutines; the informers' owner runs theirs.
//
// The hub alone imports it.
package authz
