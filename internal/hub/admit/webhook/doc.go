// Package webhook asks webhooks about writes: those that may change an object, one after another, and those that may refuse it, all
// at a time.
//
// The configurations are read when one of them has changed, see match.Source; of each webhook the client is kept, so that its
// connections are. Every connection is made by hub/egress. A goroutine runs for each webhook that is asked while others are, and
// ends before the write goes on. The hub alone imports the package.
package webhook
