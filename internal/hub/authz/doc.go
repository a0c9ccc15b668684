// Package authz decides whether a caller may do what it asks: RBAC over the stored roles and bindings, and the Node
// authorizer. It reads roles, bindings and the objects of a node's pods through informers on the hub's own door.
//
// The hub alone imports it.
package authz
