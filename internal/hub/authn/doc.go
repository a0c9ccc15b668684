// Package authn finds out who asks: client certificates, a front proxy's headers, service account and bootstrap tokens, and
// anonymous callers for the few paths that are open to them. It also signs service account tokens and publishes the keys
// that verify them.
//
// It owns no data but two small bounded caches: of verified certificates and of verified token signatures. What a token is
// bound to (service account, pod, node, secret) is looked up at every use, on the hub's own door, so that a token is dead
// the moment its object is. It runs no goroutines.
//
// The hub alone imports it.
package authn
