// Package nft applies a proxy ruleset to nf_tables. Everything that grows with services is an element of a map; chains
// exist per number of backends, not per service, so a change is a handful of elements in one netlink batch.
//
// It owns one table of the node: kube-proxy, with the instance's id behind it where there is one. [Applier.Run] looks after the table and the tracked flows, with a goroutine of its own.
// internal/machine may import it.
package nft
