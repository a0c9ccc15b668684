// Package local is the door in process: calls go straight to the hub's verbs, with the same identity, authorization,
// admission and audit as over HTTPS, and without encoding anything. What it returns is shared with the hub's cache and frozen.
//
// A watch runs one goroutine, and a second one when its events are asked for one by one; they end with its context or Stop.
// The hub alone imports it, to make doors for others.
package local
