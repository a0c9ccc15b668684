// Package store keeps encoded objects under keys, with revisions: what the hub needs of etcd and nothing more.
//
// Two packages implement it and pass one conformance suite (store/storetest): store/etcd (the embedded member, or an
// external cluster) and store/memory (no disk; virtual-time tests and the test mode). Only the hub imports it.
//
// A revision is a positive number that grows with every write to the store, whatever the key. Keys are upstream's
// ("/registry/pods/default/web").
package store
