// Package discovery makes the documents that tell clients what is served (/api, /apis and what is below them down to a group
// version, and the aggregated form of the first two), and answers requests for them.
//
// A Documents is made of a list of kinds and never changes. Nothing runs. Only the hub imports it.
package discovery
