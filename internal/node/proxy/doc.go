// Package proxy makes Services reachable on one node: it turns Services and EndpointSlices into a ruleset, a plain value,
// and has an [Applier] make the machine do the same: by its packet filter (nft) or without one (userspace).
//
// The pure part is [Plan] (one service, its slices and what is known of the node, to entries) and [Ruleset] (all entries,
// and what changed). The shell, [Proxy.Run], owns one goroutine that collects changes and applies them in batches, and the
// informers' handlers that feed it, and one for each applier's own Run. The Ruleset and the kernel's table of the instance are its data. internal/machine may import
// it.
package proxy
