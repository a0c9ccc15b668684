// Package alloc gives Services what no two of them may share: cluster addresses and node ports.
//
// It owns two tables from address or port to the UID of its service. They are filled from the services that are there when
// the hub starts (an informer on the hub's own door) and kept by the hook's Commit, Undo and Deleted; because every entry
// names its owner, an event that comes late cannot free what has meanwhile been given to another. It runs no goroutines; the
// informer set's owner runs the informer. The hub alone imports it.
package alloc
