// Package authn finds out who asks: client certificates, service account and bootstrap tokens, and anonymous callers for
// the few paths that are open to them. It also signs service account tokens.
//
// The hub alone imports it.
package authn
