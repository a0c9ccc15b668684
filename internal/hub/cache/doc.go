// Package cache is the hub's watch cache: for each stored kind an ordered, copy-on-write snapshot of entries and one
// append-only event log that watchers read through cursors.
//
// An [Entry] is one version of one object. It is born with its stored bytes (or, when this process wrote it, with the
// decoded object too), and makes its decoded, JSON and protobuf forms at most once, when first asked. Everything it hands
// out is frozen. One goroutine per kind (Cache.Run) feeds the snapshot and the log from the store's watch; readers never
// block it.
//
// The hub alone imports it.
package cache
