// Package store keeps encoded objects under keys, with revisions: what the hub needs of etcd and nothing more.
//
// Three packages implement it and pass one conformance suite (store/storetest): store/etcd (the embedded member, or an
// external cluster), store/memory (no disk; virtual-time tests and the test mode) and store/relaxed (an image in memory that
// is written behind to another store; events and leases of a lone server). Only the hub imports it.
//
// A revision is a positive number that grows with every write to the store, whatever the key. Keys are upstream's
// ("/registry/pods/default/web").
package store
