// Package status tells how a cluster, or a node of one elsewhere, is: from what its process says of its parts, from what the kernel says
// of the process, and from the API server. Nothing runs for it while nobody asks.
//
// [Gather] asks, with a limit for each question, and [Status.Write] lays the answer out for a person; the JSON form has the same content.
// It owns no data. cmd/sampan imports it.
package status
