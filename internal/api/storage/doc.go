// Package storage holds the kinds of storage.k8s.io: what classes of volumes there are, which drivers serve them on which nodes,
// and which volume is attached to which node. Nothing here mounts anything.
package storage
