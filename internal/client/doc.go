// Package client is the one door to the hub: the interface that every component holds, and typed helpers over it.
//
// Two packages implement it and pass one conformance suite (client/clienttest): client/local (in process, no encoding)
// and client/remote (HTTPS). A component cannot tell which one it holds. Errors are k8s.io/apimachinery/pkg/api/errors
// values (IsNotFound, IsConflict, IsAlreadyExists, IsInvalid, IsResourceExpired …) on both sides.
//
// Objects that come out are frozen, because the local door shares them with the hub's cache: change a DeepCopy. Objects
// that go in belong to the door afterwards only until the call returns; it does not keep them.
package client
