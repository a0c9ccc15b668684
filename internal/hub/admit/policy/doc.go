// Package policy holds writes against policies in CEL: those that change an object, and those that refuse it, warn of it or note it
// for the audit.
//
// Policies are compiled when one of them has changed, see match.Source. Their parameters are read from the hub's caches as they
// stand. A [Checker] writes into a policy's status what the types of what it is about say of its expressions; its goroutine runs
// while there is a policy to check. The hub alone imports the package.
package policy
